"""Settings of every test run, in the core's tests and in the plugins'."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks of tests are small: more threads only wait for each other
