"""Records to tables and figures. Pure functions of a study folder; nothing is trained or measured."""
