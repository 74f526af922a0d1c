"""How tensors are computed here: device, precision, compiling, memory, processes."""
