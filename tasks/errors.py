"""What can go wrong, as one tree; the text of each is what a user needs to read.

PipelineError
├── InvalidParameter      a value on the command line, in luigi.cfg or in a call
├── DownloadFailed        no mirror gave the bytes that were expected
├── InvalidArchive        bytes that are no IDX file, or not the one that they claim to be
├── StorageFailed         a folder that cannot be used: a file in its place, no permission, no space
├── TrainingFailed        a loss that is no number, or a recipe that the data cannot serve
├── ExportFailed          a SavedModel that does not load again, or does not pass its gate
├── VersionConflict       a version directory that is there and holds something else
├── InvalidServingConfig  a server's config file that cannot be read, or that names a version that is gone
├── VerificationFailed    a version tree with faults in it
├── InvalidReleaseLog     a record of releases with a line that is none
├── ReleaseRefused        a change that would harm what is served, or that is based on what is no longer so
└── RolloutFailed         a server that does not answer, or does not serve what it should
"""


class PipelineError(Exception):
    """Anything that the pipeline itself refuses or fails at."""


class InvalidParameter(PipelineError, ValueError):
    """A value that is not allowed; the text says what, where and what is."""


class DownloadFailed(PipelineError):
    """No mirror gave the bytes that were expected."""


class InvalidArchive(PipelineError):
    """Bytes that are no IDX file, or not the one that they claim to be."""


class StorageFailed(PipelineError):
    """A folder that cannot be used as asked."""


class TrainingFailed(PipelineError):
    """A training that cannot start or cannot go on."""


class ExportFailed(PipelineError):
    """A SavedModel that must not be published."""


class VersionConflict(PipelineError):
    """A version directory that is there and does not hold what is asked for."""


class InvalidServingConfig(PipelineError):
    """A server's config file that cannot be followed."""


class VerificationFailed(PipelineError):
    """A version tree that a server cannot serve as it is."""


class InvalidReleaseLog(PipelineError):
    """A record of releases with a line that is none; the text names file and line."""


class ReleaseRefused(PipelineError):
    """A change of what is served that is not made; the text says why, and the way out."""


class RolloutFailed(PipelineError):
    """A server that does not answer, or does not serve what it should; the text names it."""
