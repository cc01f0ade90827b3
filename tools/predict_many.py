"""Predict millions of photos on many cores or machines, with Ray Data.

    python tools/predict_many.py photos --output predictions            a folder, on every core of this machine
    python tools/predict_many.py list.csv --output predictions          the photos in a CSV's column "photo"
    python tools/predict_many.py s3://bucket/photos --output s3://bucket/predictions --address 10.0.0.1:6379

The model is predict.py's, and the output has the columns of its --csv. It is written in parts, each a file that appears
whole or not at all; the same command resumes, with the parts that are missing. More: docs/scale.md.
"""

import csv
import io
import logging
import os
import posixpath
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1]))  # without its packages installed, tutorial/ prints the remedy

from predict import TrainedModel
from tutorial.cli import ProgressBar, TutorialError, echo, file_path, parser, positive_int, run
from tutorial.dataset import expand_folders
from tutorial.files import atomic_write, lock
from tutorial.images import MAX_BYTES, SUFFIXES, PhotoError, read_file
from tutorial.model_file import best_weights
from tutorial.prediction_files import predict_photos, prediction_table, table_columns, table_row

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to Ray's makers
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it takes a worker's arguments in memory for an error
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # its 30 s are too few on a busy machine
try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data
    from pyarrow import fs
except ImportError:
    print("error: Ray is missing: python -m pip install -r requirements-scale.txt", file=sys.stderr)
    sys.exit(2)

LIST = "_photos.parquet"  # in the output folder; programs that read the folder as one table pass over "_" names
SCHEMA = pa.schema({"photo": pa.binary()})  # of the list: not all paths are Unicode
TYPES = {"photo": pa.string(), "class": pa.string(), "sure": pa.bool_(), "out_of_distribution": pa.bool_(),
         "error": pa.string()}  # of a part's columns; the others are float64  # fmt: skip


# ---- Files by path or by URL, such as s3://bucket/photo.jpg, as Ray Data reads them: by PyArrow -----


@lru_cache
def _bucket(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URL without a path, and where it is there; a connection stays open."""
    return fs.FileSystem.from_uri(url)


def locate(name: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URL, and the path there. Raises TutorialError if the URL leads nowhere."""
    scheme, found, rest = name.partition("://")
    if not found:
        return fs.LocalFileSystem(), os.path.abspath(name)
    bucket, _, path = rest.partition("/")
    try:
        filesystem, base = _bucket(f"{scheme}://{bucket}/")
    except (pa.ArrowException, OSError, ImportError, ValueError) as error:
        raise TutorialError(f"{name} cannot be reached ({error}): check the address and your credentials.") from None
    return filesystem, posixpath.join(base, path)


def read_anywhere(name: str) -> bytes:
    """The bytes of a file that may be a photo, by its path or URL. Raises PhotoError, see ``images.read_file``."""
    if "://" not in name:
        return read_file(name)
    try:
        filesystem, path = locate(name)
        with filesystem.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise PhotoError(f"{name} has {file.size() / 1e6:,.0f} MB, more than any photo: remove it.")
            return file.read()
    except FileNotFoundError:
        raise PhotoError(f"{name} does not exist.") from None
    except (OSError, pa.ArrowException) as error:
        raise PhotoError(f"{name} cannot be read ({error}).") from None
    except TutorialError as error:  # of locate
        raise PhotoError(str(error)) from None


def save_anywhere(made: Path, name: str) -> None:
    """Copy a file to a path or URL, whole or not at all. Raises TutorialError if it cannot be written."""
    filesystem, path = locate(name)
    if isinstance(filesystem, fs.LocalFileSystem):
        with atomic_write(Path(path)) as temporary:
            shutil.copyfile(made, temporary)
        return
    try:
        with filesystem.open_output_stream(path) as file:  # object storage shows a file when it is complete
            file.write(made.read_bytes())
    except OSError as error:
        raise TutorialError(f"{name} could not be written ({error}).") from None


# ---- The list of photos ---------------------------------------------------------------------------


def find_photos(source: str) -> Iterator[str]:
    """The photos of a CSV, a folder or object storage, always in the same order, as absolute paths or URLs.

    Raises:
        TutorialError: there is no such source, or the CSV does not have them.
    """
    filesystem, path = locate(source)
    if filesystem.get_file_info(path).type == fs.FileType.NotFound:
        raise TutorialError(f"there is no {source}: name a folder of photos, or a CSV of their paths.")
    if source.lower().endswith(".csv"):
        with io.TextIOWrapper(filesystem.open_input_stream(path), "utf-8-sig", newline="") as file:
            try:
                for row in csv.DictReader(file):
                    yield row["photo"] if "://" in row["photo"] else os.path.abspath(row["photo"])
            except (KeyError, TypeError, csv.Error, UnicodeError):
                raise TutorialError(f"{source} is not a CSV in UTF-8 with a column photo: give it one.") from None
    elif "://" in source:
        files = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        below = sorted(one.path.removeprefix(path.rstrip("/")) for one in files if one.is_file)
        yield from (source.rstrip("/") + one for one in below if Path(one).suffix.lower() in SUFFIXES)
    else:
        yield from (os.path.abspath(one) for one in expand_folders([Path(source)]) if one != Path(source))


def place(text: str) -> str:
    """An argparse type: a URL, or a path, whose ~ is the home folder; without a slash at the end."""
    return text.rstrip("/") if "://" in text else str(file_path(text))


place.__name__ = file_path.__name__


def list_photos(source: str, output: str, model: str, kind: str, size: int) -> pq.ParquetFile:
    """Write the list of photos into the output folder, a row group for each part; or check the list that is there.

    Raises:
        TutorialError: it is of another run; or see :func:`find_photos`.
    """
    schema = SCHEMA.with_metadata({"model": model, "format": kind, "part_size": str(size)})
    names = (os.fsencode(name) for name in find_photos(source))
    parts = iter(lambda: list(islice(names, size)), [])
    filesystem, path = locate(f"{output}/{LIST}")
    new = filesystem.get_file_info(path).type == fs.FileType.NotFound
    if new:
        with TemporaryDirectory() as folder, pq.ParquetWriter(made := Path(folder, LIST), schema) as writer:
            for part in parts:
                writer.write_table(pa.table({"photo": part}, schema))
            writer.close()
            if not pq.read_metadata(made).num_rows:
                raise TutorialError(f"{source} has no photos in it: name a folder of photos, or a CSV of their paths.")
            save_anywhere(made, f"{output}/{LIST}")
    photos = pq.ParquetFile(path, filesystem=filesystem)
    if photos.schema_arrow.metadata != schema.metadata:
        raise TutorialError(f"{output} is of another model, --format or --part-size: use these, or another --output.")
    for number, part in () if new else zip_longest(range(photos.num_row_groups), parts):
        if number is None or photos.read_row_group(number)["photo"].to_pylist() != part:
            raise TutorialError(f"{output} is of other photos than are now in {source}: name another --output.")
    return photos


# ---- Predictions ------------------------------------------------------------------------------------


class Predictor:
    """A worker, a Ray actor: loads the model once, then predicts a part at a time and writes its file."""

    def __init__(self, model: ray.ObjectRef, output: str, kind: str) -> None:
        from tutorial.backend import tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.threading.set_intra_op_parallelism_threads(1)  # there is a worker for each core
        filesystem, path = locate(f"{output}/{LIST}")
        self.model, self.photos = ray.get(model), pq.ParquetFile(path, filesystem=filesystem)
        self.output, self.kind, _ = output, kind, self.model.network

    def __call__(self, batch: dict) -> dict[str, list]:
        """Predict a part by its number: unread photos, core seconds, and why it could not be written, or ""."""
        [number], start = batch["item"], time.process_time()
        photos = [os.fsdecode(name) for name in self.photos.read_row_group(number)["photo"].to_pylist()]
        rows = [(photo, known) for photo, _, _, known in predict_photos(self.model, photos, read_anywhere)]
        error, names, file = "", self.model.info.class_names, part_name(number, self.kind)
        try:
            with TemporaryDirectory() as folder:
                if self.kind == "csv":
                    with prediction_table(Path(folder, file), names) as add_row:
                        for photo, known in rows:
                            add_row(photo, known)
                else:
                    schema = pa.schema([(name, TYPES.get(name, pa.float64())) for name in table_columns(names)])
                    pq.write_table(pa.Table.from_pylist([table_row(*row) for row in rows], schema), Path(folder, file))
                save_anywhere(Path(folder, file), f"{self.output}/{file}")
        except (TutorialError, OSError) as failed:
            error = str(failed)
        unread, seconds = sum("error" in known for _, known in rows), time.process_time() - start
        return {"unread": [unread], "seconds": [seconds], "error": [error]}


def part_name(number: int, kind: str) -> str:
    """The name of a part's file."""
    return f"part-{number:06}.{kind}"


def predict_parts(model: TrainedModel, output: str, kind: str, parts: int, workers: int | None) -> Counter:
    """Predict the parts that have no file yet, on the Ray cluster to which this process is connected.

    Args:
        model: whose network is not loaded yet.
        output: folder with the list of photos.
        kind: "parquet" or "csv".
        parts: how many there are in all.
        workers: default: one for each GPU of the cluster, or for each core where it has none.

    Returns:
        How many photos could not be read, "unread", and the workers' "seconds" on a core, the start not included.

    Raises:
        TutorialError: a part could not be written.
    """
    filesystem, path = locate(output)
    cluster, context, sums = ray.cluster_resources(), ray.data.DataContext.get_current(), Counter()
    device = "GPU" if cluster.get("GPU") else "CPU"
    pool = ray.data.ActorPoolStrategy(size=workers or int(cluster[device]), max_tasks_in_flight_per_actor=1)
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a part that fails, or is lost with its worker, is for the next round
    progress, left = ProgressBar("predicting parts", parts), parts + 1
    while True:
        there = {one.base_name for one in filesystem.get_file_info(fs.FileSelector(path))}
        missing = [number for number in range(parts) if part_name(number, kind) not in there]
        if not missing:
            progress.close()
            return sums
        if len(missing) == left:
            raise TutorialError(f"no worker could write a part of {output}: Ray's ray-data.log has the reason.")
        if left <= parts:
            echo(f"{len(missing)} parts failed or were lost with their workers: they are predicted again")
        left = len(missing)
        found = ray.data.from_items(missing, override_num_blocks=left).map_batches(
            Predictor, batch_size=1, compute=pool, fn_constructor_args=(ray.put(model), output, kind),
            num_cpus=device == "CPU", num_gpus=device == "GPU",
            max_task_retries=0,  # or Ray would wait until the cluster has room for a worker in a lost one's place
        )  # fmt: skip
        for done, row in enumerate(found.iter_rows(), parts - left + 1):
            if error := row.pop("error"):
                raise TutorialError(error)
            sums.update(row)
            progress.update(done)


def main() -> None:
    """Predict what is missing."""
    p = parser(__doc__)
    text = 'a folder, a CSV with a column "photo", or a URL of object storage'
    p.add_argument("source", type=place, metavar="PHOTOS", help=text)
    text = "a folder or URL to which all machines can write"
    p.add_argument("--output", type=place, required=True, metavar="DIR", help=text)
    p.add_argument("--format", choices=["parquet", "csv"], default="parquet", help="of the parts (default: parquet)")
    p.add_argument("--part-size", type=positive_int, default=1000, metavar="N", help="photos in a part (default: 1000)")
    p.add_argument("--weights", type=file_path, metavar="FILE", help="weights file (default: the best there is)")
    p.add_argument("--address", help="of a Ray cluster (default: this machine alone)")
    text = "processes (default: one for each GPU or, without GPUs, each core)"
    p.add_argument("--workers", type=positive_int, metavar="N", help=text)
    args = p.parse_args()
    model = TrainedModel(args.weights or best_weights())
    echo(f"model: {model.name}")
    if "://" not in args.output:
        lock(Path(args.output))
    digest = sha256(model.file.content).hexdigest()
    try:
        photos = list_photos(args.source, args.output, digest, args.format, args.part_size)
    except (OSError, pa.ArrowException) as error:
        raise TutorialError(
            f"{args.source} cannot be read or {args.output} not written ({error}): check them and your credentials."
        ) from None
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel("CRITICAL")  # the rest is in its log file
    try:
        ray.init(args.address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises errors of many kinds
        where = f"no Ray cluster can be used at {args.address}" if args.address else "Ray cannot be started"
        raise TutorialError(f"{where} ({str(error).splitlines()[0]}): see docs/scale.md.") from None
    try:
        sums = predict_parts(model, args.output, args.format, photos.num_row_groups, args.workers)
    finally:
        ray.shutdown()
    echo(f"saved {args.output}, with {photos.metadata.num_rows:,} photos in {photos.num_row_groups:,} parts")
    echo(f"in this run: {sums['seconds']:,.1f} core seconds; {sums['unread']:,} photos could not be read")


if __name__ == "__main__":
    from tools.predict_many import main  # by the module's own name, by which Ray's workers import it

    sys.exit(run(main, resumable=True))
