"""What the parts share: photos in, networks, ImageNet weights, training, saved files, pictures."""

import importlib.util
import os
import signal
import sys

for descriptor in range(3):  # a standard stream that is closed: the next file that is opened would take its place
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)
sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115

# Ctrl-C during a script's imports ends it at once: in the middle of a C++ library, Python's exception would be an abort.
# In a notebook or a test the process is not ours. cli.run() takes over from here.
project, script = os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.argv[0]
if os.path.dirname(os.path.abspath(script)) in (project, *(os.path.join(project, one) for one in ("data", "tools"))):
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

# The likeliest stumble of all, a new terminal, gets a sentence; the check takes no time.
if any(importlib.util.find_spec(name) is None for name in ("numpy", "PIL", "h5py")):
    print(
        "error: this Python does not have the packages of requirements.txt: activate the virtual environment "
        '(". .venv/bin/activate", on Windows ".venv\\Scripts\\activate"), or make it first with "make setup".',
        file=sys.stderr,
    )
    sys.exit(2)
