"""Jobs on Dask: a scheduler that runs, by its address or a TOML file, or a local cluster of Dask's.

Dask workers run whatever a client sends them, so what listens beyond this machine has to speak TLS with
certificates on both sides:

    address = "tls://head:8786"    # or: kind = "local" and workers = 8
    [tls]
    ca = "ca.pem"
    certificate = "me.pem"
    key = "me-key.pem"
    [arguments]                    # of a local one, for distributed.LocalCluster
    host = "127.0.0.1"

On a batch system Dask is started by its own package, and the address given here; docs/benchmark.md says how.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, from_dict
from ourgan.cluster.jobs import ClusterError, Job, execute

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds without a scheduler or without a worker before that is an error
CERTIFICATES = (
    "give [tls] with ca, certificate and key in its .toml, or distributed.comm.tls in Dask's configuration"
)


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files in PEM format, relative to the TOML file; the same for scheduler, workers and client."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    """Either the `address` of a scheduler that runs, or `kind` "local", to be started with `workers`."""

    address: str = ""
    kind: str = ""
    workers: int = 1
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        if bool(self.address) == bool(self.kind):
            raise ConfigError("give either an address or a kind of cluster")
        if self.kind not in ("", "local"):
            raise ConfigError(
                f"kind is '{self.kind}': only 'local' is started from here; start Dask there by its own "
                "package and give its address (docs/benchmark.md)"
            )


def run_on_dask(where: str, jobs: Sequence[Job]) -> Iterator[OurganError | None]:
    """Run jobs on the cluster `where`; one whose scheduler was restarted gets again those that are not done.

    Yields:
        For each job that ended, None or what was wrong.

    Raises:
        ClusterError: The cluster cannot be used, or was lost.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ClusterError("--cluster needs Dask: pip install 'ourgan[cluster]'") from None
    config, arguments = read_cluster(where)
    security = _security(config)
    with _scheduler(config, arguments, security) as address:
        waiting, lost_at = list(jobs), time.monotonic()
        while waiting:
            before = len(waiting)
            yield from _run_until_lost(address, security, waiting)
            if len(waiting) < before:
                lost_at = time.monotonic()
            elif time.monotonic() - lost_at > PATIENCE:
                raise ClusterError(
                    f"{address}: the scheduler was lost and did not come back within {PATIENCE:.0f} s; start "
                    "it and repeat the command (what is finished is kept)"
                )


def read_cluster(where: str) -> tuple[ClusterConfig, dict[str, Any]]:
    """Return what an address or a TOML file describes, and the arguments of a local cluster."""
    if not where.endswith(".toml"):
        return ClusterConfig(address=where), {}
    path = Path(where)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give one that describes a cluster, or tcp://...") from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the cluster {path}: {error}") from None
    arguments = table.pop("arguments", {})
    if not isinstance(arguments, dict):
        raise ConfigError(f"{path}: 'arguments' must be a section, not {arguments!r}")
    config = from_dict(ClusterConfig, table, str(path))
    files = {name: str(path.parent / file) for name, file in vars(config.tls).items() if file}
    for file in files.values():
        if not Path(file).is_file():
            raise ConfigError(f"{path}, [tls]: there is no file {file}")
    return dataclasses.replace(config, tls=Tls(**files)), arguments


def _security(config: ClusterConfig) -> Any:
    """Return the certificates of the file or of Dask's configuration; ClusterError where they are needed."""
    from distributed.security import Security

    tls = config.tls
    if tls.ca:
        both = {"cert": tls.certificate, "key": tls.key or None}
        named = {f"tls_{role}_{k}": v for role in ("client", "scheduler", "worker") for k, v in both.items()}
        return Security(tls_ca_file=tls.ca, require_encryption=True, **named)
    security: Any = Security()
    if security.tls_ca_file and security.tls_client_cert:
        return security
    if config.address:
        _check_open(config.address)
    return None


def _check_open(address: str) -> None:
    """Refuse an address without certificates, unless it is of this machine."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname:
        raise ClusterError(
            f"'{address}' is not a cluster's address: give tcp://HOST:PORT, tls://HOST:PORT or a .toml"
        )
    if parts.scheme == "tls":
        raise ClusterError(f"{address} needs certificates: {CERTIFICATES}")
    try:
        loopback = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    if not loopback:
        raise ClusterError(
            f"{address}: anybody on that network could run code there; use tls://, and {CERTIFICATES}"
        )


@contextlib.contextmanager
def _scheduler(config: ClusterConfig, arguments: dict[str, Any], security: Any) -> Iterator[str]:
    """Yield the scheduler's address; a local cluster is started for the time in between."""
    if config.address:
        yield config.address
        return
    from distributed import LocalCluster

    defaults = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "n_workers": 0}
    settings = defaults | arguments
    if security is not None:
        settings |= {"security": security, "protocol": "tls://"}
    try:
        cluster = LocalCluster(**settings)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise ClusterError(f"the local cluster does not start so: {error}") from error
    with cluster:
        if security is None:
            _check_open(cluster.scheduler_address)
        cluster.scale(config.workers)
        yield cluster.scheduler_address


def _run_until_lost(address: str, security: Any, waiting: list[Job]) -> Iterator[OurganError | None]:
    """Run jobs, of which those that ended leave `waiting`; return early when the scheduler is lost."""
    from distributed import Client, as_completed

    try:
        client = Client(address, security=security, timeout=min(10, PATIENCE), set_as_default=False)
    except (OSError, TimeoutError) as error:
        log.warning("%s: no scheduler answers (%s)", address, error)
        time.sleep(1)
        return
    with client:
        _check_workers(client, address)
        futures = {client.submit(execute, job, key=f"ourgan-{job.key}", pure=False): job for job in waiting}
        for future in as_completed(futures, loop=client.loop):
            if future.cancelled() or future.status == "lost":
                return  # by a scheduler that is gone
            waiting.remove(futures[future])
            yield _describe(future.exception() if future.status == "error" else None, address)


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (TimeoutError, OSError):
        raise ClusterError(
            f"{address}: no worker within {PATIENCE:.0f} s; start `dask worker {address} --nthreads 1`"
        ) from None
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise ClusterError(
                f"{address}: the worker {worker} has {threads} threads, which would share a GPU and torch's "
                "settings; start one process for each GPU or core, with --nthreads 1"
            )


def _describe(error: BaseException | None, address: str) -> OurganError | None:
    """Return an error in words for the person at the keyboard; raise what is a fault of ours."""
    from distributed import KilledWorker

    if error is None or isinstance(error, OurganError):
        return error
    if isinstance(error, KilledWorker):
        return ClusterError(f"{address}: several workers died of one job, most likely of memory ({error})")
    if isinstance(error, ModuleNotFoundError):
        return ClusterError(f"{address}: its workers have no {error.name}; install this ourgan there")
    raise error
