"""The folder of a study: settings, jobs, records, predictions and measurements, as files."""
