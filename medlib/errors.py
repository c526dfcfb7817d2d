"""The errors that medlib raises on purpose: each message is a sentence that names a remedy."""


class MedlibError(RuntimeError):
    """Base of all errors whose message alone tells a reader what to do."""


class DataUnavailable(MedlibError):
    """A data set is neither in the mirror nor in the cache, and could not be downloaded."""


class DigestMismatch(MedlibError):
    """A file's content is not the content that its card promises."""


class TestSplitUsed(MedlibError):
    """The test split was asked for a second time under the same key."""

    __test__ = False  # the name starts with "Test", but pytest must not collect it
