"""The files that scripts/slurm-local starts its daemons from: configuration, a key, a database's first lines."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path

FAKE_GPUS = [Path(p) for p in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")]


class Failure(Exception):
    """What went wrong, for the person who called."""


def write_files(folder: Path, options: Mapping[str, int]) -> None:
    """Everything below folder that the daemons need; `options` are accounting (0 or 1), gpus and cpus."""
    for name in ("munge", "state", "spool", "log", "pid"):
        (folder / name).mkdir()
    _secret(folder / "munge" / "key", secrets.token_bytes(1024))
    gpus = [f"Name=gpu File={path} Flags=nvidia_gpu_env" for path in _gpu_files(options["gpus"])]
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *gpus, ""]))
    ports = _free_ports(4)
    host = socket.gethostname().split(".")[0]
    user = getpass.getuser()
    settings = {
        "ClusterName": "local",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmdPort": ports[1],
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # a requeued job waits until its credential has expired, 120 s by default
        "AuthInfo": f"socket={folder}/munge/socket,cred_expire=5",
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool",
        "SlurmctldPidFile": f"{folder}/pid/slurmctld.pid",
        "SlurmdPidFile": f"{folder}/pid/slurmd.pid",
        "SlurmctldLogFile": f"{folder}/log/slurmctld.log",
        "SlurmdLogFile": f"{folder}/log/slurmd.log",
        # no cgroups and no binding of tasks: containers seldom allow them
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "MpiDefault": "none",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,bf_interval=2",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "SlurmdParameters": "config_overrides",
        "JobRequeue": 1,
        "ReturnToService": 2,
        "MinJobAge": 86400,  # squeue --states=all remembers a day, in place of accounting
        "KillWait": 2,
        # steps that end while the controller is away try again a minute later; by then the default drains the node
        "UnkillableStepTimeout": 600,
        "CompleteWait": 0,
        # never the id of a job of an earlier state, whose files may still lie somewhere
        "FirstJobId": int(time.time()) % 50_000_000 + 1,
        "GresTypes": "gpu",
        "AccountingStorageType": "accounting_storage/none",
    }
    if _addresses(host) == {"127.0.0.1"}:
        settings["CommunicationParameters"] = "NoCtldInAddrAny,NoInAddrAny"
    if options["accounting"]:
        settings |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": ports[2],
            "AccountingStorageTRES": "gres/gpu",
            "AccountingStoragePass": f"{folder}/munge/socket",  # without it slurmctld stops with "no TRES"
        }
        _write_database(folder, ports[2], ports[3], user)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    gres = f"Gres=gpu:{options['gpus']} " if options["gpus"] else ""
    node = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={options['cpus']} RealMemory={memory} {gres}State=UNKNOWN"
    partition = "PartitionName=local Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
    lines = [f"{name}={value}" for name, value in settings.items()]
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "slurm.conf").write_text("\n".join([*lines, node, partition, ""]))


def _write_database(folder: Path, port: int, database_port: int, user: str) -> None:
    password = secrets.token_hex(16)
    (folder / "db").mkdir()
    (folder / "db" / "port").write_text(str(database_port))
    sql = (
        "CREATE DATABASE IF NOT EXISTS slurm;\n"
        f"CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';\n"
    )
    _secret(folder / "db" / "init.sql", sql.encode())
    settings = {
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": port,
        "SlurmUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge/socket",
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "127.0.0.1",
        "StoragePort": database_port,
        "StorageUser": "slurm",
        "StoragePass": password,
        "StorageLoc": "slurm",
        "LogFile": f"{folder}/log/slurmdbd.log",
        "PidFile": f"{folder}/pid/slurmdbd.pid",
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    _secret(folder / "slurmdbd.conf", text.encode())


def _secret(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _addresses(host: str) -> set[str]:
    with contextlib.suppress(OSError):
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    return set()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _gpu_files(number: int) -> list[Path]:
    """The real GPUs' device files where there are enough, otherwise devices that only stand for GPUs."""
    real = sorted(p for p in Path("/dev").glob("nvidia*") if p.name[6:].isdigit())
    files = real if len(real) >= number else FAKE_GPUS
    if number > len(files):
        raise Failure(f"--gpus {number}: at most {len(files)}")
    return files[:number]
