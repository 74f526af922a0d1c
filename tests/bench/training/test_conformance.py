"""What is built in passes what ``check-plugin`` asks of a user's file."""

import pytest

import architectures
import methods
from bench.training.conformance import faults_of_method, faults_of_network


@pytest.mark.parametrize("name", methods.names())
def test_methods(name):
    assert faults_of_method(name) == []


@pytest.mark.parametrize("name", ["unet-4-8-16", *(set(architectures.names()) & {"dmfnet"})])
def test_networks(name):
    """One of each family; their other networks differ in widths alone."""
    assert faults_of_network(name) == []
