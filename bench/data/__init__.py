"""From files to training samples: datasets (all in ``datasets``), readers, splits, augmentation."""
