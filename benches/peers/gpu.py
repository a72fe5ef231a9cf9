#!/usr/bin/env python3
"""Times PyTorch (cuDNN), Captum and vggx on the same network and images in the same run, and prints a markdown table.

    python3 benches/peers/gpu.py --weights weights/vgg16-features.safetensors --output benches/results/NAME.md

PyTorch runs with channels_last, float16 (--element) and cuDNN's benchmark mode, in three ways: eager, torch.compile, and CUDA graphs;
the gradient explanation is a forward pass and the gradient of each image's largest response. Captum's Saliency and
GuidedBackprop get the targets for nothing. Everything that is missing (no Captum, a compiler that fails, no vggx) costs its own column and a line
that says why. `--device cpu` runs all that has a meaning there, to see that this script works.

Two kinds of rows:

- host to host: from u8 pixels in (pinned) memory of the host to float32 results there, wall clock, one batch after the other (vggx: as many
  batches at a time as it likes);
- device: data already there, CUDA events (vggx: the sum of its layers, with the L2 cache flushed before each).

vggx measures its shares against this run's own matrix product. Ratios are rates of vggx over rates of the peer.
"""

import argparse
import datetime
import json
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FORWARD, GRADIENT, GUIDED = "forward", "gradient", "guided-backprop"
HOST, DEVICE = "host to host", "device"
EAGER, COMPILED, GRAPH, CAPTUM, VGGX = "PyTorch eager", "torch.compile", "CUDA graph", "Captum", "vggx"
PEERS = [EAGER, COMPILED, GRAPH, CAPTUM]


def say(text):
    print(text, file=sys.stderr, flush=True)


def read_safetensors(path, torch):
    """Tensors and metadata of a file, without the package that reads them."""
    types = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[start:end]), dtype=types[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


def preprocessing(metadata):
    """As vggx: JSON in the metadata, torchvision's without."""
    if not any(key in metadata for key in ("channel_order", "pixel_scale", "mean", "std")):
        return "rgb", 1.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    order = metadata["channel_order"].strip('"').lower()
    return order, float(metadata["pixel_scale"]), json.loads(metadata["mean"]), json.loads(metadata["std"])


def noise(count, seed, numpy):
    """The pixels of `vggx bench --seed`: SplitMix64."""
    words = numpy.arange(1, (count + 7) // 8 + 1, dtype=numpy.uint64)
    with numpy.errstate(over="ignore"):
        state = numpy.uint64(seed) + words * numpy.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        state = state ^ (state >> numpy.uint64(31))
    return state.astype("<u8").view(numpy.uint8)[:count].copy()


def build(weights, torch):
    """The network as torch modules: responses are logits, or in a headless network the sums of the final map."""
    tensors, metadata = read_safetensors(weights, torch)
    numbers = sorted(
        int(name.split(".")[1]) for name in tensors if re.fullmatch(r"features\.\d+\.weight", name)
    )
    if not numbers:
        sys.exit(f"{weights}: no features.<n>.weight in it; give a VGG's weights under torchvision's names")
    layers = []
    for number, following in zip(numbers, numbers[1:] + [numbers[-1] + 3]):
        weight, bias = tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"]
        convolution = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        convolution.weight.data, convolution.bias.data = weight.float(), bias.float()
        layers += [convolution, torch.nn.ReLU(inplace=False)]
        if following - number == 3:
            layers.append(torch.nn.MaxPool2d(2))
    features = torch.nn.Sequential(*layers)
    dense = sorted(
        int(name.split(".")[1]) for name in tensors if re.fullmatch(r"classifier\.\d+\.weight", name)
    )
    if dense:
        first = tensors[f"classifier.{dense[0]}.weight"].shape[1]
        side = round((first / features[-3].out_channels) ** 0.5)
        head = [torch.nn.AdaptiveAvgPool2d(side), torch.nn.Flatten()]
        for number in dense:
            weight = tensors[f"classifier.{number}.weight"]
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = weight.float(), tensors[f"classifier.{number}.bias"].float()
            head += [linear, torch.nn.ReLU(inplace=False)]
        head = torch.nn.Sequential(*head[:-1])
    else:

        class Sums(torch.nn.Module):
            def forward(self, x):
                return x.sum(dim=(2, 3), dtype=torch.float32)

        head = Sums()
    return torch.nn.Sequential(features, head).eval(), metadata


class Peer:
    """The network in PyTorch on a batch, with the ways to run it."""

    def __init__(self, arguments, batch, torch, numpy):
        self.torch, self.batch, self.side = torch, batch, arguments.side
        self.cuda = arguments.device == "cuda"
        self.device = torch.device(arguments.device)
        self.element = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[arguments.element]
        model, metadata = build(arguments.weights, torch)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.model = model.to(self.device, self.element, memory_format=torch.channels_last)
        self.order, scale, mean, std = preprocessing(metadata)
        shape = (1, 3, 1, 1)
        # (u8 * scale / 255 - mean) / std as one multiplication and one addition.
        std = torch.tensor(std, device=self.device).reshape(shape)
        self.factor = scale / 255 / std
        self.offset = -torch.tensor(mean, device=self.device).reshape(shape) / std
        pixels = noise(batch * self.side * self.side * 3, arguments.seed, numpy)
        pixels = torch.from_numpy(pixels).reshape(batch, self.side, self.side, 3)
        self.pixels = pixels.pin_memory() if self.cuda else pixels
        self.on_device = pixels.to(self.device)
        self.result = torch.empty(batch, 3, self.side, self.side, pin_memory=self.cuda)

    def normalise(self, pixels):
        """[images, height, width, 3] in u8 to elements in channels_last, the layout that the bytes have already."""
        x = pixels.permute(0, 3, 1, 2).float()
        if self.order == "bgr":
            x = x.flip(1)
        x = (x * self.factor + self.offset).to(self.element)
        return x.contiguous(memory_format=self.torch.channels_last)

    def forward(self, model, pixels):
        with self.torch.no_grad():
            return model(self.normalise(pixels)).float()

    def gradient(self, model, pixels):
        x = self.normalise(pixels).requires_grad_(True)
        responses = model(x)
        largest = responses.detach().argmax(dim=1, keepdim=True)
        (gradient,) = self.torch.autograd.grad(responses.gather(1, largest).sum(), x)
        return gradient.float()

    def captum(self, method):
        import captum.attr

        # GuidedBackprop puts hooks on the modules, so each method has a network of its own.
        import copy

        model = copy.deepcopy(self.model)
        targets = self.forward(model, self.on_device).argmax(dim=1)
        attribution = captum.attr.Saliency(model) if method == GRADIENT else captum.attr.GuidedBackprop(model)
        options = {"abs": False} if method == GRADIENT else {}

        def run(pixels):
            x = self.normalise(pixels).requires_grad_(True)
            return attribution.attribute(x, target=targets, **options).float()

        return run

    def graph(self, run):
        """Captures a run on the pixels that lie on the device."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run(self.on_device)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run(self.on_device)

        def replay(pixels):
            if pixels is not self.on_device:
                self.on_device.copy_(pixels, non_blocking=True)
            graph.replay()
            return result

        return replay

    def ways(self, skipped):
        """(peer, pass) to a function from pixels on the device (for graphs also on the host) to a result there."""
        torch = self.torch
        plain = {FORWARD: self.forward, GRADIENT: self.gradient}
        makers = {}
        for name, run in plain.items():
            makers[EAGER, name] = lambda run=run: lambda pixels: run(self.model, pixels)
            makers[GRAPH, name] = lambda run=run: self.graph(lambda pixels: run(self.model, pixels))
            makers[COMPILED, name] = lambda run=run: (
                lambda pixels, model=torch.compile(self.model, dynamic=False): run(model, pixels)
            )
        for method in (GRADIENT, GUIDED):
            makers[CAPTUM, method] = lambda method=method: self.captum(method)
        for (peer, name), make in makers.items():
            if peer in skipped or (peer == GRAPH and not self.cuda):
                continue
            try:
                run = make()
                result = run(self.on_device)
                if not bool(torch.isfinite(result).all()):
                    say(f"note: {peer}, {name}: not all results are finite in this element type")
            except Exception as error:  # whatever is missing or broken costs this way only
                say(f"left out: {peer}, {name}: {type(error).__name__}: {str(error).strip().splitlines()[:1]}")
                if self.cuda:
                    torch.cuda.synchronize()
                continue
            yield peer, name, run

    def host_to_host(self, run, peer):
        if self.cuda:
            pixels = self.pixels if peer == GRAPH else self.pixels.to(self.device, non_blocking=True)
        else:
            pixels = self.pixels
        result = run(pixels)
        if result.dim() == 4:
            self.result.copy_(result, non_blocking=True)
        else:
            result = result.cpu()
        if self.cuda:
            self.torch.cuda.synchronize()

    def time_host(self, run, peer, repeats):
        times = []
        for call in range(repeats + 2):
            started = time.perf_counter()
            self.host_to_host(run, peer)
            if call >= 2:
                times.append(time.perf_counter() - started)
        return statistics.median(times)

    def time_device(self, run, repeats):
        return time_on_device(lambda: run(self.on_device), repeats, self.torch, self.cuda)


def time_on_device(run, repeats, torch, cuda):
    """Median seconds, after two calls that do not count."""
    times = []
    for call in range(repeats + 2):
        if cuda:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            end.synchronize()
            seconds = begin.elapsed_time(end) / 1e3
        else:
            started = time.perf_counter()
            run()
            seconds = time.perf_counter() - started
        if call >= 2:
            times.append(seconds)
    return statistics.median(times)


def ceilings(arguments, torch):
    """TFLOP/s of a large product and GB/s of a copy (read and written)."""
    cuda, side = arguments.device == "cuda", arguments.product
    element = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[arguments.element]
    a, b = (torch.randn(side, side, device=arguments.device).to(element) for _ in range(2))
    seconds = time_on_device(lambda: torch.mm(a, b), arguments.repeats, torch, cuda)
    product = 2 * side**3 / seconds / 1e12
    del a, b
    source = torch.randint(0, 256, (arguments.copy << 20,), dtype=torch.uint8, device=arguments.device)
    destination = torch.empty_like(source)
    seconds = time_on_device(lambda: destination.copy_(source), arguments.repeats, torch, cuda)
    copy = 2 * source.numel() / seconds / 1e9
    return product, copy


def vggx_command(arguments, batch, ceiling):
    command = [str(arguments.vggx), "bench", "--json", "--quiet"]
    command += ["--weights", str(arguments.weights), "--batch", str(batch), "--crop", str(arguments.side)]
    command += ["--seed", str(arguments.seed), "--device", arguments.device]
    if arguments.patterns:
        command += ["--patterns", str(arguments.patterns)]
    if arguments.device == "cuda":
        command += ["--precision", arguments.element]
        command += ["--product", str(arguments.product), "--copy", str(arguments.copy)]
    command += ["--repeats", str(arguments.repeats), "--ceiling", f"{ceiling:.6g}"]
    return command + shlex.split(arguments.vggx_options)


def run_vggx(command, limit):
    """The report, or None with a line that says why."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=limit)
        if done.returncode != 0:
            raise ValueError(f"exit code {done.returncode}; its message is above")
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        say(f"left out: vggx: {shlex.join(command)}: {error}")
        return None


def vggx_rates(report):
    """Images a second by (where, pass)."""
    rates = {}
    for row in report["end_to_end"]:
        rates[HOST, row["method"] or FORWARD] = row["images_per_second"]
    forward = sum(layer["milliseconds"] for layer in report["layers"] if layer["way"] == "forward")
    backward = sum(layer["milliseconds"] for layer in report["layers"] if layer["way"] == "backward")
    if forward > 0 and backward > 0:
        rates[DEVICE, FORWARD] = 1e3 * report["batch"] / forward
        rates[DEVICE, GRADIENT] = 1e3 * report["batch"] / (forward + backward)
    return rates


def pass_flops(report):
    """Operations of one image's forward pass."""
    layers = report["layers"]
    return sum(layer["gflop"] for layer in layers if layer["way"] == "forward") * 1e9 / report["batch"]


def commit():
    version = ROOT / "VERSION"  # what scripts/pack-gpu notes where there is no repository
    if version.is_file():
        return version.read_text().split("\n")[0]
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(ours, theirs):
    return "-" if not ours or not theirs else f"{ours / theirs:.2f}"


def table(rates, flops, ceiling):
    """`rates`: (batch, where, pass, who) to images a second."""
    lines = [
        "| batch | pass | timed | vggx, images/s | share of the ceiling | "
        + " | ".join(PEERS)
        + " | vggx / eager | vggx / fastest peer |",
        "|---|---|---|---|---|" + "---|" * (len(PEERS) + 2),
    ]
    rows = list(dict.fromkeys(key[:3] for key in rates))
    order = {name: index for index, name in enumerate([FORWARD, GRADIENT, GUIDED])}
    rows.sort(key=lambda row: (row[0], row[1] == DEVICE, order.get(row[2], 9)))
    for row in rows:
        ours = rates.get((*row, VGGX))
        peers = [rates.get((*row, peer)) for peer in PEERS]
        fastest = max((rate for rate in peers if rate), default=None)
        share = "-"
        if ours and flops and ceiling:
            passes = 1 if row[2] == FORWARD else 2
            share = f"{100 * ours * flops * passes / (ceiling * 1e12):.1f}%"
        batch, where, name = row
        lines.append(
            f"| {batch} | {name} | {where} | {number(ours)} | {share} | "
            + " | ".join(number(rate) for rate in peers)
            + f" | {ratio(ours, peers[0])} | {ratio(ours, fastest)} |"
        )
    return lines


def arguments_of(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "weights" / "vgg16-features.safetensors")
    parser.add_argument("--patterns", type=pathlib.Path, help="for vggx; default: its own")
    parser.add_argument("--batch", type=int, action="append", help="repeatable; default 1, 8 and 64")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--element", choices=["f16", "bf16", "f32"], help="default f16, on the CPU f32")
    parser.add_argument("--repeats", type=int, help="timed calls; default 30, on the CPU 3")
    parser.add_argument("--rounds", type=int, default=2, help="turns of PyTorch and vggx at each batch; medians count")
    parser.add_argument("--product", type=int, help="side of the matrix product; default 8192, on the CPU 1024")
    parser.add_argument("--copy", type=int, help="MiB that are copied; default 1024, on the CPU 64")
    parser.add_argument("--skip", action="append", default=[], choices=[*PEERS, VGGX], help="repeatable")
    parser.add_argument("--vggx", type=pathlib.Path, default=ROOT / "target" / "release" / "vggx")
    parser.add_argument("--vggx-options", default="", help="more options of vggx bench, in one string")
    parser.add_argument("--limit", type=int, default=600, help="seconds that one call of vggx may take")
    parser.add_argument("--output", type=pathlib.Path, help="also write the table here")
    parser.add_argument("--json", type=pathlib.Path, help="write all numbers here, vggx's reports included")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, without PyTorch")
    arguments = parser.parse_args(argv)
    cuda = arguments.device == "cuda"
    arguments.batch = arguments.batch or ([1, 8, 64] if cuda else [1])
    arguments.element = arguments.element or ("f16" if cuda else "f32")
    arguments.repeats = arguments.repeats or (30 if cuda else 3)
    arguments.product = arguments.product or (8192 if cuda else 1024)
    arguments.copy = arguments.copy or (1024 if cuda else 64)
    return arguments


def main(argv=None):
    arguments = arguments_of(argv)
    if arguments.dry_run:
        for batch in arguments.batch:
            print(f"batch {batch}: PyTorch ({', '.join(peer for peer in PEERS if peer not in arguments.skip)})")
            print(f"batch {batch}: {shlex.join(vggx_command(arguments, batch, 0.0))}")
        return
    if not arguments.weights.is_file():
        sys.exit(f"{arguments.weights} is missing: give a VGG's weights in safetensors with --weights")
    try:
        import numpy
        import torch
    except ImportError as error:
        sys.exit(f"{error}: install PyTorch and NumPy (benches/peers/requirements-gpu.txt)")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA device; --device cpu shows whether this script works at all")
    torch.backends.cudnn.benchmark = True
    # Plain float32 is compared with plain float32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    say("ceilings ...")
    product, copy = ceilings(arguments, torch)
    say(f"product {product:.1f} TFLOP/s, copy {copy:.0f} GB/s")
    samples, reports, failed = {}, [], False
    for batch in arguments.batch:
        try:
            peer = Peer(arguments, batch, torch, numpy)
            ways = list(peer.ways(arguments.skip))
        except Exception as error:  # for instance out of memory: the next batch size may do
            say(f"left out: PyTorch at batch {batch}: {type(error).__name__}: {error}")
            peer, ways = None, []
        for turn in range(arguments.rounds):
            say(f"batch {batch}, turn {turn + 1} of {arguments.rounds} ...")
            for who, name, run in ways:
                try:
                    host = peer.time_host(run, who, arguments.repeats)
                    device = peer.time_device(run, arguments.repeats)
                except Exception as error:
                    say(f"left out: {who}, {name}: {type(error).__name__}: {error}")
                    continue
                samples.setdefault((batch, HOST, name, who), []).append(batch / host)
                samples.setdefault((batch, DEVICE, name, who), []).append(batch / device)
            if arguments.device == "cuda":
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
            if VGGX in arguments.skip:
                continue
            report = run_vggx(vggx_command(arguments, batch, product), arguments.limit)
            if report is None:
                failed = True
                break
            reports.append(report)
            for (where, name), rate in vggx_rates(report).items():
                samples.setdefault((batch, where, name, VGGX), []).append(rate)
        del peer, ways
    rates = {key: statistics.median(values) for key, values in samples.items()}
    if not rates:
        sys.exit("nothing could be timed; the lines above say why")

    ceiling = max([product] + [report["ceiling"]["tflops"] or 0 for report in reports])
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or "CPU"
    versions = [f"PyTorch {torch.__version__}"]
    if arguments.device == "cuda":
        versions.append(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    try:
        import captum

        versions.append(f"Captum {captum.__version__}")
    except ImportError:
        pass
    own = max((p["tflops"] for report in reports for p in report["ceiling"]["products"]), default=None)
    bandwidth = [report["copy"]["gigabytes_per_second"] for report in reports if report["copy"]]
    shares = [r["convolutions"]["share"] for r in reports if r["convolutions"] and r["convolutions"]["share"]]
    lines = [
        f"- device: {device}" + (f"; vggx: {reports[0]['device']}" if reports else ""),
        f"- date: {datetime.date.today().isoformat()}; vggx {commit()}; {', '.join(versions)}",
        f"- command: `{shlex.join([pathlib.Path(sys.argv[0]).name, *(argv or sys.argv[1:])])}`",
        f"- {arguments.weights.name}, {arguments.side}×{arguments.side}, {arguments.element}; medians of {arguments.repeats} calls "
        f"in each of {arguments.rounds} turns",
        f"- {arguments.product}³ product: PyTorch {product:.1f} TFLOP/s"
        + (f", vggx's kernels {own:.1f} TFLOP/s" if own else "")
        + f"; copy, read and written: PyTorch {copy:.0f} GB/s"
        + (f", vggx {statistics.median(bandwidth):.0f} GB/s" if bandwidth else ""),
    ]
    if shares:
        lines.append(f"- convolution layers one by one, share of the ceiling at best: {100 * max(shares):.1f}%")
    flops = pass_flops(reports[0]) if reports else None
    text = "\n".join([*lines, "", *table(rates, flops, ceiling)]) + "\n"
    print(text, end="")
    if arguments.output:
        arguments.output.write_text(text)
    if arguments.json:
        numbers = [
            {"batch": b, "timed": w, "pass": n, "who": who, "images_per_second": values}
            for (b, w, n, who), values in samples.items()
        ]
        content = {"product_tflops": product, "copy": copy, "rates": numbers, "vggx": reports}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
