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

# Ctrl-C during a script's imports ends it at once, where Python's exception in the middle of a C++ library would be an
# abort; cli.run() takes over from there. In a notebook or a test the process is not ours.
project, script = os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.abspath(sys.argv[0])
ours = os.path.dirname(script) in (project, *(os.path.join(project, one) for one in ("data", "tools")))
if ours and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# The likeliest stumble of all, a new terminal, gets a sentence; the check takes no time.
packages = ("numpy", "PIL", "h5py", "matplotlib", "rich", "tensorflow", "keras")
if any(importlib.util.find_spec(name) is None for name in packages):
    print(
        "error: this Python does not have the packages of requirements.txt: activate the virtual environment "
        '(". .venv/bin/activate", on Windows ".venv\\Scripts\\activate"), or install '
        'them first with "make setup" or "python -m pip install -r requirements.txt".',
        file=sys.stderr,
    )
    sys.exit(2)
