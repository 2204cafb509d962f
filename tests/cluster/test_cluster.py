"""Jobs in processes and on a real Dask cluster: killed, repeated, shuffled, and always the same bytes."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError
from ourgan.cluster import ClusterError, Job, run_jobs
from ourgan.cluster import dask as dask_module
from ourgan.cluster.jobs import execute, find_gpus, run_in_processes

pytest.importorskip("distributed")
JOBS = "cluster_jobs:smooth"


@pytest.fixture(autouse=True)
def importable_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as running:
        yield running.scheduler_address


def jobs_in(directory: Path, count: int = 6, **more: object) -> list[Job]:
    directory.mkdir(exist_ok=True)
    made = []
    for number in range(count):
        source = directory / f"{number}.in"
        source.write_bytes(random.Random(number).randbytes(50_000 + number))
        out = str(directory / f"{number}.out")
        made.append(Job(JOBS, {"source": str(source), "out": out, **more}, (str(source),), (out,)))
    return made


def results(jobs: list[Job]) -> list[bytes]:
    return [Path(job.outputs[0]).read_bytes() for job in jobs]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    jobs = jobs_in(tmp_path_factory.mktemp("serial"))
    run_jobs(jobs, workers=1)
    return results(jobs)


def test_processes_are_as_good_as_one_also_when_one_is_killed(tmp_path: Path, serial: list[bytes]) -> None:
    jobs = jobs_in(tmp_path, killed_once=str(tmp_path / "mark"))
    random.Random(1).shuffle(jobs)
    run_jobs(jobs, workers=2)
    assert (tmp_path / "mark").exists()
    assert results(sorted(jobs, key=lambda job: job.outputs)) == serial


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    jobs = jobs_in(tmp_path, 3, journal=str(journal))
    run_jobs([*jobs[:2], *jobs[:2]], workers=1)
    before = results(jobs[:2])
    run_jobs(jobs, workers=1)
    execute(jobs[0])
    assert sorted(journal.read_text().split()) == ["0.out", "1.out", "2.out"]
    assert results(jobs[:2]) == before


def test_a_job_that_always_kills_its_worker_ends(tmp_path: Path) -> None:
    out = str(tmp_path / "never")
    good = jobs_in(tmp_path, 1)
    deadly = Job("cluster_jobs:always_killed", {}, (), (out,))
    with pytest.raises(ClusterError, match=r"--workers 1"):
        run_jobs([deadly, *good], workers=2)
    assert good[0].done and not deadly.done


def test_one_failed_job_does_not_take_the_others_along(tmp_path: Path, serial: list[bytes]) -> None:
    jobs = jobs_in(tmp_path)
    bad = [
        Job("cluster_jobs:refuses", {"what": f"photo {i}"}, (), (str(tmp_path / f"bad{i}"),)) for i in (1, 2)
    ]
    with pytest.raises(OurganError, match=r"photo 1: cannot be used \(1 more of 8 jobs failed\)"):
        run_jobs([*bad, *jobs], workers=1)
    assert results(jobs) == serial


def test_dask_shuffled_twice_at_once_is_as_serial(address: str, tmp_path: Path, serial: list[bytes]) -> None:
    jobs = jobs_in(tmp_path)
    shuffled = random.Random(2).sample(jobs, len(jobs))
    other = threading.Thread(target=run_jobs, args=(shuffled, address))
    other.start()
    run_jobs(jobs, address)
    other.join()
    assert results(jobs) == serial
    run_jobs(jobs, address)  # nothing left to do
    assert results(jobs) == serial


def test_a_dask_worker_killed_in_the_middle(address: str, tmp_path: Path, serial: list[bytes]) -> None:
    jobs = jobs_in(tmp_path, killed_once=str(tmp_path / "mark"))
    run_jobs(jobs, address)
    assert (tmp_path / "mark").exists() and results(jobs) == serial


def test_a_worker_without_the_photo_says_which(address: str, tmp_path: Path) -> None:
    job = jobs_in(tmp_path, 1)[0]
    Path(job.inputs[0]).unlink()
    with pytest.raises(ClusterError) as caught:
        run_jobs([job], address)
    line = str(caught.value)
    assert socket.gethostname() in line and job.inputs[0] in line and "\n" not in line
    assert not job.done


def test_errors_cross_from_workers_in_one_line(address: str, tmp_path: Path) -> None:
    with pytest.raises(OurganError, match=r"^a photo: cannot be used$"):
        run_jobs([Job("cluster_jobs:refuses", {"what": "a photo"}, (), (str(tmp_path / "no"),))], address)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def dask(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_the_scheduler_is_restarted_in_the_middle(tmp_path: Path, serial: list[bytes]) -> None:
    port = str(free_port())
    where = f"tcp://127.0.0.1:{port}"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
    worker = ["worker", where, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    running = [dask(*scheduler), dask(*worker)]
    jobs = jobs_in(tmp_path, seconds=0.3, journal=str(tmp_path / "journal"))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            run_jobs(jobs, where)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while not jobs[1].done and not failed:
            time.sleep(0.05)
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not jobs[-1].done
        running = [dask(*scheduler), dask(*worker)]
        thread.join(60)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert not failed and not thread.is_alive()
    assert results(jobs) == serial
    assert (tmp_path / "journal").read_text().split().count("0.out") == 1


def test_a_cluster_from_a_file_with_certificates(tmp_path: Path, serial: list[bytes]) -> None:
    make_certificates(tmp_path)
    where = tmp_path / "mine.toml"
    where.write_text(
        'kind = "local"\n[tls]\nca = "ca.pem"\ncertificate = "me.pem"\nkey = "me-key.pem"\n'
        '[arguments]\nhost = "127.0.0.1"\n'
    )
    jobs = jobs_in(tmp_path)
    run_jobs(jobs, str(where))
    assert results(jobs) == serial


def test_an_address_with_certificates(tmp_path: Path, serial: list[bytes]) -> None:
    from distributed import LocalCluster
    from distributed.security import Security

    make_certificates(tmp_path)
    files = {"cert": str(tmp_path / "me.pem"), "key": str(tmp_path / "me-key.pem")}
    named = {f"tls_{role}_{k}": v for role in ("client", "scheduler", "worker") for k, v in files.items()}
    security = Security(tls_ca_file=str(tmp_path / "ca.pem"), require_encryption=True, **named)
    jobs = jobs_in(tmp_path)
    where = tmp_path / "mine.toml"
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        protocol="tls://",
        security=security,
    ) as running:
        assert running.scheduler_address.startswith("tls://127.0.0.1:")
        where.write_text(
            f'address = "{running.scheduler_address}"\n'
            '[tls]\nca = "ca.pem"\ncertificate = "me.pem"\nkey = "me-key.pem"\n'
        )
        with pytest.raises(ClusterError, match="needs certificates"):
            run_jobs(jobs, running.scheduler_address)
        run_jobs(jobs, str(where))
    assert results(jobs) == serial


def make_certificates(directory: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-x509", *new, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca"
    )
    openssl("req", *new, "-keyout", "me-key.pem", "-out", "me.csr", "-subj", "/CN=me")
    signed_by = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial")
    openssl("x509", "-req", "-in", "me.csr", *signed_by, "-out", "me.pem", "-days", "2")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("tcp://192.0.2.7:8786", "anybody on that network"),
        ("tcp://head.example.org:8786", "tls://"),
        ("tls://127.0.0.1:8786", "needs certificates"),
        ("http://127.0.0.1", "is not a cluster's address"),
        ("none.toml", "no such file"),
    ],
)
def test_clusters_that_are_refused(
    where: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr("distributed.Client", never)
    with pytest.raises(OurganError, match=says) as caught:
        run_jobs(jobs_in(tmp_path, 1), where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('adress = "tcp://127.0.0.1:1"', "did you mean 'address'"),
        ('kind = "slurm"', "start Dask there by its own package .*docs/benchmark.md"),
        ('kind = "local"\naddress = "tcp://127.0.0.1:1"', "either"),
        ('address = "tls://a:1"\n[tls]\nca = "gone.pem"', "gone.pem"),
        ('kind = "local"\n[arguments]\nprotocol = "pigeon://"', "does not start so"),
        ('kind = "local"\n[arguments]\nhost = "0.0.0.0"', "anybody on that network"),
    ],
)
def test_files_of_clusters_that_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(OurganError, match=says):
        run_jobs(jobs_in(tmp_path, 1), str(tmp_path / "mine.toml"))


def test_workers_of_several_threads_are_refused() -> None:
    client = SimpleNamespace(
        wait_for_workers=lambda *_, **__: None, nthreads=lambda: {"tcp://127.0.0.1:5": 2}
    )
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:5 has 2 threads.* --nthreads 1"):
        dask_module._check_workers(client, "tcp://127.0.0.1:1")


def test_a_scheduler_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_module, "PATIENCE", 0.5)
    with pytest.raises(ClusterError, match="did not come back"):
        run_jobs(jobs_in(tmp_path, 1), f"tcp://127.0.0.1:{free_port()}")


def test_gpus_are_dealt_one_to_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert find_gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert find_gpus() == ["5", "GPU-7"]


def test_each_process_sees_its_own_gpu(tmp_path: Path) -> None:
    jobs = [
        Job("cluster_jobs:sees", {"out": str(tmp_path / f"{n}")}, (), (str(tmp_path / f"{n}"),))
        for n in range(4)
    ]
    assert list(run_in_processes(["4", "GPU-7"], 2, jobs)) == [None] * 4
    seen = {(tmp_path / f"{n}").read_text() for n in range(4)}
    assert {line.split()[0] for line in seen} == {"4", "GPU-7"}
    assert len(seen) == 2  # a process keeps the GPU it has


def test_without_dask_the_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"ourgan\[cluster\]"):
        run_jobs(jobs_in(tmp_path, 1), "tcp://127.0.0.1:1")
    assert [path.name for path in tmp_path.iterdir()] == ["0.in"]


def test_configuration_errors_are_for_people() -> None:
    with pytest.raises(ConfigError, match="either"):
        dask_module.ClusterConfig()
