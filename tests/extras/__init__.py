"""One program an extra: does what the extra is for, where nothing but it is installed.

`.ci/extras` runs each in an environment of its own, made from the wheel. They are not tests of
pytest, which such an environment lacks.
"""
