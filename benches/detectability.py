#!/usr/bin/env python3
"""How well can what stegcluster hides be detected? Measured on real photographs.

Takes photographs from Debian packages of wallpapers (or from folders of your own), scales them
down at least by two, so that nothing of their JPEG compression is left, has a node of
stegcluster on loopback hide random secrets in them, and asks what a steganalyst would, in three
parts:

  sealwatch  do its estimators agree with ours?
  estimates  sample pairs, RS and weighted stego image (`stegcluster analyze`) of whole
             pictures, clean and with each method
  trained    a detector that was trained for the method: SPAM or SRM features (sealwatch) of
             crops, FLD ensemble; trained and tested on different photographs

Needs python3 and, from PyPI, sealwatch, conseal and pillow; apt-get for the packages.

    benches/detectability.py --binary target/release/stegcluster
    benches/detectability.py --photos ~/Pictures --methods lsb,adaptive
    benches/detectability.py --simulate          # conseal's LSBR, LSBM and HILL instead of ours
"""

import argparse
import concurrent.futures
import http.client
import io
import json
import os
import pathlib
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from PIL import Image

# Photographs in Debian 12's packages, all under free licences (each package's copyright file
# names author and licence). Drawings and renderings of these packages are left out.
LOMIRI = "usr/share/backgrounds/{}.jpg"
MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
PLASMA = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
PHOTOGRAPHS = [
    ("lomiri-wallpapers-16.04", LOMIRI, [
        "Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Picture_0B_by_freespace",
        "Wine_by_Jakkub_Mede", "aitzgorri_by_Aitzol_Berasategi", "free_by_Peter_Nerlich",
        "friends_by_Aitzol_Berasategi", "greentock_by_Peter_Nerlich",
        "life_by_Aitzol_Berasategi", "picosdeeuropa_by_Aitzol_Berasategi",
        "seeding_by_Clements_Engelhardt", "sunset_by_Aitzol_Berasategi"]),
    ("lomiri-wallpapers-20.04", LOMIRI, ["Kleiber_by_Lukas_Baubkus"]),
    ("mate-backgrounds", MATE, [
        "Aqua", "Blinds", "Garden", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood",
        "YellowFlower"]),
    ("plasma-workspace-wallpapers", PLASMA, [
        "BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf",
        "Kite", "OneStandsOut", "Path"]),
]
LONG_SIDE_MAX = 1280
SCALE_MIN = 2
CROP = 256
SUBSPACE = 100
LEARNERS = 51
PASSPHRASE = "detectability"
BOUNDARY = b"between-the-fields"
METHODS = ["lsb", "spread", "adaptive"]


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    photographs = load_photographs(args)
    print_setting(args, photographs)
    if "sealwatch" in args.parts:
        agree_with_sealwatch(args, photographs)
    with Simulation(args) if args.simulate else Node(args) as embedder:
        for colour in args.colours:
            if "estimates" in args.parts:
                estimates(args, photographs, colour, embedder)
        if "trained" in args.parts:
            trained(args, photographs, embedder)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="stegcluster", help="default: from the path")
    parser.add_argument("--photos", type=pathlib.Path, nargs="+", metavar="FOLDER",
                        help="photographs of your own instead of the packages'; the larger, the "
                             "better, and never saved by a program like this one")
    parser.add_argument("--methods", type=words, default=METHODS, help=",".join(METHODS))
    parser.add_argument("--simulate", action="store_true",
                        help="conseal's LSB replacement, LSB matching and HILL")
    parser.add_argument("--bpp", type=float, default=0.1, help="secret bits by pixel")
    parser.add_argument("--parts", type=words, default=["sealwatch", "estimates", "trained"])
    parser.add_argument("--colours", type=words, default=["grey", "RGB"],
                        help="of the pictures for the estimates; trained is grey")
    parser.add_argument("--features", type=words, default=["spam"],
                        help="spam (686 dimensions), srmq1 (the rich model with one quantisation, "
                             "12753; takes 2 s for each crop)")
    parser.add_argument("--folds", type=int, default=8, help="of the photographs, for training")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/detectability"),
                        help="where packages are kept between runs")
    parser.add_argument("--json", type=pathlib.Path, help="also write every figure here")
    return parser.parse_args()


def words(text):
    return text.split(",")


def print_setting(args, photographs):
    version = [args.binary, "--version"]
    what = "conseal's simulators" if args.simulate else subprocess.check_output(
        version, text=True).strip()
    print(f"{time.strftime('%Y-%m-%d', time.gmtime())}, {cpu()}, Python "
          f"{platform.python_version()}, {what}")
    print(f"{len(photographs)} photographs, {args.bpp} bit of secret per pixel\n")


def cpu():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


# Photographs.

def load_photographs(args):
    """Name and RGB array of each, scaled down."""
    if args.photos:
        files = sorted(file for folder in args.photos for file in folder.rglob("*")
                       if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".webp"))
    else:
        files = [unpacked(args, package) / place.format(name)
                 for package, place, names in PHOTOGRAPHS for name in names]
    if len(files) < 10:
        sys.exit(f"{len(files)} photographs are too few; give at least 10")
    return [(str(at), scaled_down(file)) for at, file in enumerate(files)]


def unpacked(args, package):
    """The folder with a Debian package's files. Nothing is installed."""
    folder = args.work / package
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=args.work) as download:
            subprocess.run(["apt-get", "download", package], cwd=download, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (archive,) = pathlib.Path(download).glob("*.deb")
            half = args.work / f"{package}.half"
            subprocess.run(["dpkg-deb", "-x", archive, half], check=True)
            half.rename(folder)
    return folder


def scaled_down(file):
    picture = Image.open(file).convert("RGB")
    factor = max(SCALE_MIN, max(picture.size) / LONG_SIDE_MAX)
    size = [int(side / factor) for side in picture.size]
    return np.asarray(picture.resize(size, Image.LANCZOS))


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L"))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


# Embedding.

class Node:
    """A stegcluster of one node, on loopback, in a temporary folder."""

    def __init__(self, args):
        self.args = args
        self.random = random.Random(1)

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as free, socket.socket() as also_free:
            for one in (free, also_free):
                one.bind(("127.0.0.1", 0))
            self.port, raft = (one.getsockname()[1] for one in (free, also_free))
        self.process = subprocess.Popen(
            [self.args.binary, "serve", "--listen", f"127.0.0.1:{self.port}",
             "--raft-listen", f"127.0.0.1:{raft}", "--data-dir", self.folder.name + "/n1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 30
        while self.ask("GET", "/readyz") != 200:
            if self.process.poll() is not None or time.monotonic() > give_up:
                sys.exit("the node did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.folder.cleanup()

    def ask(self, verb, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request(verb, path)
            return connection.getresponse().status
        except OSError:
            return None

    def embed(self, pixels, method):
        secret = self.random.randbytes(secret_bytes(self.args, pixels))
        fields = [("method", method.encode()), ("passphrase", PASSPHRASE.encode()),
                  ("cover", png(pixels)), ("file", secret)]
        body = b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (BOUNDARY, name.encode(), value) for name, value in fields) + b"--%s--" % BOUNDARY
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/api/embed", body, {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}",
            "Accept": "image/png"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit(f"{method}: {answer.status} {content.decode(errors='replace')}")
        return np.asarray(Image.open(io.BytesIO(content)))


class Simulation:
    """What conseal says that the methods do, for a check of this script."""

    def __init__(self, args):
        self.args = args
        self.seed = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def embed(self, pixels, method):
        import conseal
        self.seed += 1
        planes = pixels.reshape(*pixels.shape[:2], -1)
        rate = self.args.bpp / planes.shape[2]
        if method == "lsb":
            stego = conseal.lsb.simulate(planes, rate, modify=conseal.LSB_REPLACEMENT,
                                         permute=True, seed=self.seed)
        elif method == "spread":
            stego = conseal.lsb.simulate(planes, rate, modify=conseal.LSB_MATCHING,
                                         permute=True, seed=self.seed)
        else:
            stego = np.stack([
                conseal.hill.simulate_single_channel(
                    np.ascontiguousarray(planes[..., at]), rate, seed=self.seed)
                for at in range(planes.shape[2])], axis=2)
        return stego.reshape(pixels.shape).astype(np.uint8)


def secret_bytes(args, pixels):
    return int(args.bpp * pixels.shape[0] * pixels.shape[1] / 8)


# Part 1: estimates.

ESTIMATORS = ["sample_pairs", "rs", "ws"]


def estimates(args, photographs, colour, embedder):
    rows = {}
    for method in ["clean", *args.methods]:
        pictures = []
        for _, pixels in photographs:
            cover = grey(pixels) if colour == "grey" else pixels
            pictures.append(cover if method == "clean" else embedder.embed(cover, method))
        rows[method] = analyzed(args, pictures)
    samples = 1 if colour == "grey" else 3
    print(f"Estimates, {colour} pictures (true for lsb: {args.bpp / samples:.3f}): "
          "mean ± standard deviation over the photographs (lowest to highest)")
    print("| method | sample pairs | RS | WS | WS from the top | found |")
    print("|---|---|---|---|---|---|")
    for method, found in rows.items():
        cells = []
        for name in [*ESTIMATORS, "ws_from_top"]:
            values = [one[name] if name == "ws_from_top" else one[name]["rate"] for one in found]
            cells.append(spread(values))
        seen = sum(one["verdict"] == "found" for one in found)
        print(f"| {method} | {' | '.join(cells)} | {seen} of {len(found)} |")
    print(flush=True)
    keep(args, f"estimates {colour}", rows)


def analyzed(args, pictures):
    """What `stegcluster analyze` says of each."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for at, pixels in enumerate(pictures):
            files.append(os.path.join(folder, f"{at}.png"))
            pathlib.Path(files[-1]).write_bytes(png(pixels))
        done = subprocess.run([args.binary, "analyze", "--json", *files], text=True,
                              stdout=subprocess.PIPE)
    if done.returncode not in (0, 3):
        sys.exit("stegcluster analyze failed")
    return [line["estimates"] for line in json.loads(done.stdout)]


def agree_with_sealwatch(args, photographs):
    """sealwatch has sample pairs, of rows only, and WS with other weights and without our
    correction (it has no RS). Photographs without the darkest and lightest values, which only
    ours leaves out, are overwritten at a rate of 0.2. One long row each makes sample pairs the
    same thing."""
    import sealwatch
    planes = []
    for at, (_, pixels) in enumerate(photographs):
        plane = np.clip(grey(pixels), 2, 253)
        chosen = np.random.default_rng(at).random(plane.shape) < 0.1
        planes.append(plane ^ chosen.astype(np.uint8))
    rows = [plane.reshape(1, -1) for plane in planes]
    pairs = [abs(ours["sample_pairs"]["rate"] - sealwatch.spa.attack(row))
             for ours, row in zip(analyzed(args, rows), rows)]
    ours = [found["ws"]["rate"] for found in analyzed(args, planes)]
    theirs = [2 * sealwatch.ws.attack(plane) for plane in planes]
    print("At a rate of 0.2, sealwatch's sample pairs and ours differ by at most "
          f"{max(pairs):.6f}. WS: sealwatch {spread(theirs)}, ours {spread(ours)}\n", flush=True)


def spread(values):
    return (f"{statistics.mean(values):+.4f} ± {statistics.stdev(values):.4f} "
            f"({min(values):+.4f} to {max(values):+.4f})")


# Part 2: a trained detector.

def trained(args, photographs, embedder):
    covers, owners = [], []
    for name, pixels in photographs:
        for crop in crops(grey(pixels)):
            covers.append(crop)
            owners.append(name)
    pictures = {"clean": covers}
    for method in args.methods:
        pictures[method] = [embedder.embed(crop, method) for crop in covers]
    print(f"Trained detectors, {len(covers)} grey crops of {CROP}x{CROP}, {args.folds} folds by "
          "photograph: error (mean of false alarms and misses), standard deviation over the folds")
    print("| detector | " + " | ".join(args.methods) + " |")
    print("|---|" + "---|" * len(args.methods))
    threshold(args, pictures, owners)
    for features in args.features:
        with concurrent.futures.ProcessPoolExecutor(args.processes) as pool:
            vectors = {method: np.stack(list(pool.map(
                extract, [features] * len(crops_of), crops_of, chunksize=8)))
                for method, crops_of in pictures.items()}
        cells = {}
        for method in args.methods:
            cells[method] = validated(args, vectors["clean"], vectors[method], owners, ensemble)
        line(args, f"{features}, FLD ensemble", cells)


def crops(pixels):
    height, width = pixels.shape
    for top in range(0, height - CROP + 1, CROP):
        for left in range(0, width - CROP + 1, CROP):
            yield np.ascontiguousarray(pixels[top:top + CROP, left:left + CROP])


def extract(features, pixels):
    import sealwatch
    # A crop without any texture has residuals of no range; they count as nothing.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if features == "spam":
            found = sealwatch.spam.extract(pixels)
        else:
            found = sealwatch.srmq1.extract(pixels)
    return np.nan_to_num(np.concatenate([np.ravel(part) for part in found.values()]))


def threshold(args, pictures, owners):
    """Detectors that need no training but for one number: the larger estimate is the stego."""
    found = {method: analyzed(args, crops_of) for method, crops_of in pictures.items()}
    for name in [*ESTIMATORS, "ws_from_top"]:
        value = lambda one: one[name] if name == "ws_from_top" else one[name]["rate"]
        column = {method: np.array([[value(one)] for one in of]) for method, of in found.items()}
        cells = {method: validated(args, column["clean"], column[method], owners, stump)
                 for method in args.methods}
        line(args, f"{name}, best threshold", cells)


def validated(args, clean, stego, owners, train):
    """Errors over folds in which no photograph is both trained on and tested with."""
    names = sorted(set(owners))
    random.Random(7).shuffle(names)
    errors = []
    for fold in range(args.folds):
        held_out = set(names[fold::args.folds])
        test = np.array([owner in held_out for owner in owners])
        is_stego = train(clean[~test], stego[~test])
        false_alarms = np.mean(is_stego(clean[test]))
        misses = 1 - np.mean(is_stego(stego[test]))
        errors.append((false_alarms + misses) / 2)
    return errors


def ensemble(clean, stego):
    """Fisher linear discriminants in random subspaces that vote (Kodovský, Fridrich, Holub 2012).
    Few and small ones: a search for the best size takes hours and, with so few photographs, fits
    them rather than what was done to them."""
    import sealwatch
    varies = (clean.std(axis=0) + stego.std(axis=0)) > 0
    pick = lambda features: np.ascontiguousarray(features[:, varies])
    trainer = sealwatch.ensemble_classifier.FldEnsembleTrainer(
        pick(clean), pick(stego), seed=1, d_sub=SUBSPACE, L=LEARNERS, verbose=0)
    classifier, _ = trainer.train()
    return lambda features: classifier.predict(pick(features)) > 0


def stump(clean, stego):
    candidates = np.unique(np.concatenate([clean, stego]))
    errors = [np.mean(clean >= cut) + np.mean(stego < cut) for cut in candidates]
    best = candidates[int(np.argmin(errors))]
    return lambda features: features[:, 0] >= best


def line(args, name, cells):
    text = " | ".join(f"{np.mean(errors):.3f} ± {np.std(errors):.3f}" for errors in cells.values())
    print(f"| {name} | {text} |", flush=True)
    keep(args, name, cells)


FIGURES = {}


def keep(args, name, figures):
    FIGURES[name] = figures
    if args.json:
        args.json.write_text(json.dumps(FIGURES, indent=1))


if __name__ == "__main__":
    main()
