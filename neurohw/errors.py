"""Errors that neurohw raises; the command line shows each as one line, exit status 2."""

import re

# What would move the cursor of a terminal, where a name or a value has it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class NeurohwError(Exception):
    """Base of every error of this package; its text is one complete line."""

    def __str__(self) -> str:
        text = " ".join(filter(None, map(str.strip, super().__str__().splitlines())))
        return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class ConfigurationError(NeurohwError, ValueError):
    """A configuration, chip or device file, or an option, that cannot be used."""


class InvalidValueError(NeurohwError, ValueError):
    """A value outside the range or of another unit than its quantity has."""


class DataError(NeurohwError, ValueError):
    """A data set that cannot be read or does not fit the network."""


class RunFileError(NeurohwError, ValueError):
    """A run file that cannot be read, written or continued."""


class ExportError(NeurohwError, ValueError):
    """A weight map that cannot be written, read or does not fit the network."""


class StudyError(NeurohwError, ValueError):
    """A folder of results, or a scheduler, that a study cannot use."""


class ConvergenceError(NeurohwError, RuntimeError):
    """A relaxation that did not reach its tolerance."""


class NumericalError(NeurohwError, RuntimeError):
    """NaN or infinity in a state."""


class UnsupportedError(NeurohwError, NotImplementedError):
    """A combination that an engine, a device or a rule declares it cannot do."""
