"""The runtimes' libraries: one sentence where missing, and no word to anyone where there."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import missing, needs
from converted import NEEDED, samples

from methods.converting import open_graph
from methods.converting.libraries import EXTRAS, load

ROOT = Path(__file__).resolve().parents[3]
REFUSE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void count(const char *what) {
    int file = open(getenv("TRIED"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (write(file, what, strlen(what)) < 0) abort();
    close(file);
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family != AF_UNIX) count("connect\n");
    errno = ECONNREFUSED;
    return -1;
}

ssize_t sendto(int socket, const void *bytes, size_t size, int flags, const struct sockaddr *to,
               socklen_t length) {
    if (to == NULL) return send(socket, bytes, size, flags);
    count("sendto\n");
    errno = ECONNREFUSED;
    return -1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    count("getaddrinfo\n");
    return EAI_FAIL;
}
"""
CONVERT = """
import os, pickle, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import torch
torch.set_num_threads(1)
import architectures
from methods.converting import int8, onnxruntime, open_graph, openvino
torch.manual_seed(0)
module, images = architectures.build("unet-2-4"), [torch.randn(4, 1, 16, 16)]
runtime, path = sys.argv[1:]
plain = {"openvino": openvino, "onnxruntime": onnxruntime}[runtime].convert(module, images, 2)
made = [(graph, open_graph(graph, threads=4).predict(torch.load(path)))
        for graph in (plain, int8.convert(module, images, 2, runtime))]
with open(path, "wb") as file:
    pickle.dump(made, file)
"""


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """Environment of a process in which native code and Python reach nothing; each try is counted."""
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "refuse.c").write_text(REFUSE)
    command = ["gcc", "-shared", "-fPIC", "-o", "refuse.so", "refuse.c"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        missing("there is no gcc")
    # In CI the libraries are silent by themselves.
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return {**kept, "LD_PRELOAD": str(folder / "refuse.so"), "TRIED": str(folder / "tried")}


def run(environment, *arguments):
    tried = Path(environment["TRIED"])
    tried.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", *arguments], env=environment, check=False, capture_output=True, text=True
    )
    return done, tried.read_text().split() if tried.exists() else []


@pytest.mark.parametrize(
    "code", ["socket.create_connection(('127.0.0.1', 9))", "socket.create_connection(('example.org', 80))"]
)
def test_a_try_would_be_counted(refusing, code):
    done, tried = run(refusing, f"import socket; {code}")
    assert "refused" in done.stderr or "gaierror" in done.stderr
    assert tried


@pytest.mark.parametrize("runtime", NEEDED)
def test_nothing_is_sent_by_conversions_and_a_fresh_process_predicts_the_same(refusing, runtime, tmp_path):
    for package in NEEDED[runtime]:
        needs(package)
    x, path = samples("unet-2-4", 2, 3)[0], tmp_path / "exchange"
    torch.save(x, path)
    done, tried = run(refusing, CONVERT, runtime, str(path))
    assert done.returncode == 0, done.stderr
    assert tried == []
    # One core and four threads: no word about cores that the process may not use.
    assert (done.stdout, done.stderr) == ("", "")
    made = pickle.loads(path.read_bytes())
    assert [graph.precision for graph, _ in made] == ["fp32", "int8"]
    for graph, logits in made:
        assert torch.allclose(open_graph(graph, threads=4).predict(x), logits, atol=1e-6)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_one_sentence(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"missing \(.*\); pip install -c constraints\.txt -e '\.\["):
        load(name)
