"""One network learns: the gate before, the teacher's targets, the loop, checkpoints."""
