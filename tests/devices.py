"""What this machine can compute on: tests that ask for each device run once more where there is a GPU."""

import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
