"""Where many runs are made: each as an ordinary `dfkdbench` command in a process of its own.

Importing the package is cheap: an executor's module is imported when that executor is asked for.
"""
