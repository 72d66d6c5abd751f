"""What can go wrong: each error is a PipelineError, and its text is what a user needs to read."""


class PipelineError(Exception):
    """Anything that the pipeline itself refuses or fails at."""


class InvalidParameter(PipelineError, ValueError):
    """A value on the command line, in luigi.cfg or in a call that is not allowed."""


class DownloadFailed(PipelineError):
    """No mirror gave the bytes that were expected."""


class InvalidArchive(PipelineError):
    """Bytes that are not an IDX file, or not the one that they claim to be."""


class StorageFailed(PipelineError):
    """A folder that cannot be used: a file in its place, no permission, no space."""


class BucketFailed(PipelineError):
    """A bucket that is not there, does not answer, or refuses."""


class TrainingFailed(PipelineError):
    """A loss that is not finite, or a recipe that the data cannot serve."""


class UnfitProcessor(PipelineError):
    """A processor whose bits are not those of all others."""


class EngineEnded(PipelineError):
    """The process that ran a computation was killed, or crashed."""


class ClusterFailed(PipelineError):
    """A Dask cluster that is not there, has no worker that can compute, or lost too many."""


class ExportFailed(PipelineError):
    """A SavedModel that does not load again, or does not pass its gate."""


class VersionConflict(PipelineError):
    """A version directory that is there and holds something else than what is asked for."""


class InvalidServingConfig(PipelineError):
    """A server's config file that cannot be read, or that names a version that is gone."""


class VerificationFailed(PipelineError):
    """A version tree that a server cannot serve as it is."""


class InvalidReleaseLog(PipelineError):
    """A record of releases with a line that cannot be read."""


class ReleaseRefused(PipelineError):
    """A change that would harm what is served, or that is based on what is no longer so."""


class RolloutFailed(PipelineError):
    """A server that does not answer, or does not serve what it should."""
