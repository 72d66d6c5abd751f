"""What S3 and the way to it do wrong: it is tried again, and told in one line when that does not help."""

import multiprocessing

import pytest

from tasks.errors import BucketFailed, InvalidParameter
from tasks.storage import checksums, s3
from tasks.storage.object_store import ATTEMPTS, open_store
from tests.conftest import free_port

SLOW_DOWN = "slow down"


@pytest.fixture
def bucket(s3):
    """An empty bucket."""
    return open_store(s3.make_bucket(), s3.address)


@pytest.fixture
def content(tmp_path):
    """A file of two blocks."""
    path = tmp_path / "content"
    path.write_bytes(bytes(range(256)) * 6000)
    return path


@pytest.fixture(scope="class")
def hasty():
    """Clients that give up soon."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CONNECT_SECONDS": 0.3, "READ_SECONDS": 0.3, "ATTEMPTS": 2}.items():
            patch.setattr(s3, name, value)
        s3._make_client.cache_clear()
        yield
    s3._make_client.cache_clear()


def create(bucket, path, key="1/a"):
    return bucket.create(key, path, sha256=checksums.sha256(path))


def test_more_than_a_page_is_listed(s3, bucket, content):
    """A thousand keys are what S3 gives at once; the rest is asked for."""
    content.write_bytes(b"little")
    create(bucket, content)
    s3.ask("copy", bucket=bucket.url.split("/")[2], version="mnist/1", first=2, last=1001)
    s3.ask("requests")
    assert {f"{number}/a" for number in range(1, 1002)} == {entry.key for entry in bucket.list()}
    assert ["GET", "GET"] == s3.ask("requests")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 and later, as pytest has threads
def test_a_forked_process_speaks_for_itself(bucket, content):
    """Luigi forks its workers: a child does not use its parent's connections, nor do two children each other's."""
    create(bucket, content)

    def read_often():
        for _ in range(5):
            assert content.read_bytes() == b"".join(bucket.get("1/a"))

    children = [multiprocessing.get_context("fork").Process(target=read_often) for _ in range(2)]
    for child in children:
        child.start()
    read_often()
    for child in children:
        child.join(60)
    assert [0, 0] == [child.exitcode for child in children]


class TestTriedAgain:
    """What passes."""

    @pytest.mark.parametrize("fault", [SLOW_DOWN, "drop"])
    def test_a_create_is_tried_again(self, s3, bucket, content, fault):
        """A 503 SlowDown or a dropped connection costs a second request, and nothing else."""
        s3.ask("requests")
        s3.ask("fault", kind=fault, method="PUT")
        assert create(bucket, content)
        assert ["PUT", "PUT"] == s3.ask("requests")

    def test_a_create_may_meet_itself(self, s3, bucket, content):
        """If only the answer was lost, the second request finds the first one's object, and says that it is there."""
        s3.ask("fault", kind="met itself", method="PUT")
        assert not create(bucket, content)
        assert content.read_bytes() == b"".join(bucket.get("1/a"))

    def test_two_creates_at_once_are_tried_again(self, s3, bucket, content):
        """S3 answers 409 to one of two that are there at the same moment; it has to ask again."""
        s3.ask("fault", kind="ConditionalRequestConflict", method="PUT", times=2)
        assert create(bucket, content)

    def test_an_answer_that_breaks_off_is_taken_up_where_it_broke(self, s3, bucket, content):
        """The rest alone is asked for, and the bytes are right."""
        create(bucket, content)
        s3.ask("requests")
        s3.ask("fault", kind="cut", method="GET", times=2)
        assert content.read_bytes() == b"".join(bucket.get("1/a"))
        assert ["GET"] * 3 == s3.ask("requests")


@pytest.mark.usefixtures("s3", "hasty")
class TestTold:
    """What does not pass."""

    def test_slow_down_for_ever(self, s3, bucket):
        """After the last attempt one line has the status, S3's word and the number of attempts."""
        s3.ask("fault", kind=SLOW_DOWN, times=ATTEMPTS)
        with pytest.raises(
            BucketFailed, match=r"refused at http://\S+ with 503 SlowDown, after 2 attempts: Please reduce"
        ):
            list(bucket.list())

    def test_an_answer_that_always_breaks_off(self, s3, bucket, content):
        """It ends after a few attempts."""
        create(bucket, content)
        s3.ask("fault", kind="cut", method="GET", times=9)
        with pytest.raises(BucketFailed, match="1/a: the connection broke 2 times"):
            b"".join(bucket.get("1/a"))

    def test_an_endpoint_that_hangs(self, s3, bucket):
        """It is given up after its time limit."""
        s3.ask("fault", kind="hang", times=2)
        with pytest.raises(BucketFailed, match=r"failed at http://\S+: Read timeout on endpoint URL"):
            list(bucket.list())

    def test_an_endpoint_where_nothing_listens(self):
        """The line has its address."""
        store = open_store("s3://models-1/mnist", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(BucketFailed, match="Could not connect to the endpoint URL"):
            list(store.list())

    def test_an_endpoint_that_is_no_address(self):
        """It is told as the parameter that it is."""
        with pytest.raises(InvalidParameter, match="endpoint_url 'nonsense': Invalid endpoint"):
            list(open_store("s3://models-1/mnist", "nonsense").list())

    @pytest.mark.parametrize("code", ["InvalidAccessKeyId", "AccessDenied"])
    def test_refused_credentials(self, s3, bucket, code):
        """S3's own word stands in the line."""
        s3.ask("fault", kind=code)
        with pytest.raises(BucketFailed, match=rf"refused at http://\S+ with 403 {code}"):
            list(bucket.list())

    def test_missing_credentials(self, bucket, monkeypatch):
        """The line says which variables to set."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        s3._make_client.cache_clear()
        with pytest.raises(BucketFailed, match="no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            list(bucket.list())
