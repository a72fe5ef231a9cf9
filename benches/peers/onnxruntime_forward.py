#!/usr/bin/env python3
"""Times ONNX Runtime and vggx on the same network in the same run and prints a markdown table.

    python3 -m venv venv && venv/bin/pip install -r benches/peers/requirements.txt
    cargo build --release --example time_forward
    venv/bin/python benches/peers/onnxruntime_forward.py WEIGHTS.safetensors [--threads 2] [--output TABLE.md]

The weights are VGG features under torchvision's names (f16 or f32; computed in f32), the images 224x224. The two take turns, A B A B ..., a few calls each turn, so that a machine that slows down or is shared slows both;
each figure is the median over all calls. vggx is the example binary, started anew each turn, with its own warm-up:

    time_forward --weights FILE --batch N --threads N --repeat R [--method M]

prints one line of JSON, {"forward_ms": [...], "explain_ms": {"METHOD": [...]}}, milliseconds a call of the whole batch; an
explanation is a forward and one method's backward pass. ONNX Runtime runs with its defaults, except that its threads stop
spinning when a call returns, else they would take the cores in vggx's turn.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

# The kernel counts what a process held before it became another program, so a child of this script would be charged with
# ONNX Runtime's memory. This small process in between starts vggx and writes its peak (bytes on macOS, else KiB) below what
# vggx printed.
LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIDE = 224


def onnx_session(weights_file, threads):
    """The features as a graph: convolution and ReLU, a max-pool wherever torchvision's numbering leaves room for it."""
    tensors = {
        name: value.astype(numpy.float32)
        for name, value in load_file(weights_file).items()
        if re.fullmatch(r"features\.\d+\.(weight|bias)", name)
    }
    numbers = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".weight"))
    if not numbers:
        sys.exit(f"{weights_file}: no features.<n>.weight in it; give a VGG's weights in safetensors")
    nodes, value = [], "image"
    for number, following in zip(numbers, numbers[1:] + [numbers[-1] + 3]):
        names = [value, f"features.{number}.weight", f"features.{number}.bias"]
        nodes.append(
            helper.make_node("Conv", names, [f"z{number}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"z{number}"], [f"a{number}"]))
        value = f"a{number}"
        if following - number == 3:
            nodes.append(
                helper.make_node(
                    "MaxPool", [value], [f"p{number}"], kernel_shape=[2, 2], strides=[2, 2]
                )
            )
            value = f"p{number}"
    channels = tensors[f"features.{numbers[-1]}.weight"].shape[0]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", channels, None, None])],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def time_onnxruntime(session, images, repeat):
    """Milliseconds of each of `repeat` calls, after one that does not count."""
    times = []
    for call in range(repeat + 1):
        started = time.perf_counter()
        session.run(None, {"image": images})
        if call > 0:
            times.append(1e3 * (time.perf_counter() - started))
    return times


def time_vggx(arguments, batch, method):
    """The example's two members of JSON, checked, and its peak resident memory in MiB."""
    command = [
        str(arguments.binary),
        "--weights", str(arguments.weights),
        "--batch", str(batch),
        "--threads", str(arguments.threads),
        "--repeat", str(arguments.repeat),
    ]  # fmt: skip
    if method:
        command += ["--method", method]
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER]
    done = subprocess.run(launcher + command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with exit code {done.returncode}; its message is above")
    try:
        *_, answer, peak = done.stdout.splitlines()
        result = json.loads(answer)
        forward, explain = result["forward_ms"], result.get("explain_ms", {})
    except (ValueError, LookupError, TypeError) as error:
        sys.exit(f"{' '.join(command)}\nprinted no line of JSON as expected ({error}): {done.stdout!r}")
    if not forward or any(value <= 0 for value in forward):
        sys.exit(f"{' '.join(command)}\ngave no times: {result}")
    return forward, explain, int(peak) / (1024 * 1024 if platform.system() == "Darwin" else 1024)


def cpu_model():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_count():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def commit():
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def spread(values):
    """The middle half, as a share of the median: how quiet the machine was."""
    if len(values) < 4:
        return "-"
    quartiles = statistics.quantiles(values, n=4)
    return f"{100 * (quartiles[2] - quartiles[0]) / statistics.median(values):.0f}%"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, action="append", help="repeatable; default 1 and 8")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each of the two a batch")
    parser.add_argument("--repeat", type=int, default=5, help="timed calls a turn")
    parser.add_argument("--method", action="append", help="repeatable; default: the binary's own")
    parser.add_argument(
        "--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "examples" / "time_forward"
    )
    parser.add_argument("--output", type=pathlib.Path, help="also write the table here")
    arguments = parser.parse_args()
    if not arguments.binary.is_file():
        sys.exit(f"{arguments.binary} is missing: cargo build --release --example time_forward")
    if not arguments.weights.is_file():
        sys.exit(f"{arguments.weights} is missing: give a VGG's weights in safetensors")
    if min(arguments.threads, arguments.rounds, arguments.repeat) < 1:
        sys.exit("--threads, --rounds and --repeat are at least 1")

    session = onnx_session(arguments.weights, arguments.threads)
    random = numpy.random.default_rng(0)
    rows = []
    load_before = os.getloadavg()[0]
    for batch in arguments.batch or [1, 8]:
        images = random.normal(0.0, 50.0, (batch, 3, SIDE, SIDE)).astype(numpy.float32)
        peer, forward, ratios, explained_ratios, peak = [], [], [], {}, 0.0
        for turn in range(arguments.rounds):
            theirs = time_onnxruntime(session, images, arguments.repeat)
            ours, explained = [], {}
            for method in arguments.method or [None]:
                forward_ms, explain_ms, mebibytes = time_vggx(arguments, batch, method)
                ours += forward_ms
                peak = max(peak, mebibytes)
                for name, values in explain_ms.items():
                    explained.setdefault(name, []).append(
                        statistics.median(values) / statistics.median(forward_ms)
                    )
            peer += theirs
            forward += ours
            # Ratios are taken within a turn, since neighbours in time share the machine's state.
            ratios.append(statistics.median(theirs) / statistics.median(ours))
            for name, values in explained.items():
                explained_ratios.setdefault(name, []).extend(values)
            print(
                f"batch {batch}, turn {turn + 1} of {arguments.rounds}: ratio {ratios[-1]:.3f}",
                file=sys.stderr,
            )
        rows.append((batch, peer, forward, ratios, explained_ratios, peak))

    machine = f"{cpu_model()}, {cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    lines = [
        f"- machine: {machine}; load before: {load_before:.2f}",
        f"- date: {datetime.date.today().isoformat()}; vggx {commit()}",
        f"- ONNX Runtime {onnxruntime.__version__}, NumPy {numpy.__version__}, Python {platform.python_version()}",
        f"- {arguments.weights.name}, {SIDE}×{SIDE}, {arguments.threads} threads, float32; {arguments.rounds} turns of "
        f"{arguments.repeat} calls each, medians (in brackets the middle half's width); the peak memory counts what was "
        f"touched of the mapped weights ({arguments.weights.stat().st_size / 2**20:.0f} MiB)",
        "",
        "| batch | ONNX Runtime, ms/image | vggx forward, ms/image | vggx's speed, ONNX Runtime = 1 "
        "| explanation / forward | vggx peak RSS |",
        "|---|---|---|---|---|---|",
    ]
    for batch, peer, forward, ratios, explained_ratios, peak in rows:
        peer_ms = statistics.median(peer) / batch
        forward_ms = statistics.median(forward) / batch
        explained = ", ".join(
            f"{name} {statistics.median(values):.2f}" for name, values in explained_ratios.items()
        )
        lines.append(
            f"| {batch} | {peer_ms:.1f} ({spread(peer)}) | {forward_ms:.1f} ({spread(forward)}) "
            f"| {statistics.median(ratios):.2f} | {explained or '-'} | {peak:.0f} MiB |"
        )
    table = "\n".join(lines) + "\n"
    print(table, end="")
    if arguments.output:
        arguments.output.write_text(table)


if __name__ == "__main__":
    main()
