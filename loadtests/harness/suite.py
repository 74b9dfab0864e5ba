"""A command line with scenarios: which of them to run, with which options, and where their figures go."""

import argparse
import json
import re
import resource
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from loadtests.harness import options, report
from loadtests.harness.measure import Idle, machine
from loadtests.harness.options import OptionError
from loadtests.harness.processes import LoadTestError, exit_on_sigterm
from loadtests.harness.results import Result, table

Options = TypeVar("Options")
FILES_WANTED = 65_536
INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@dataclass(frozen=True, slots=True)
class Scenario(Generic[Options]):
    """One question, and the work that answers it. `title` may name options in braces."""

    title: str
    options: type[Options]
    run: Callable[[Options], Result]

    def titled(self, chosen: Options) -> str:
        """Return the title of a run with these options."""
        return self.title.format(**asdict(chosen))  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Command:
    """What one command line asks for: scenarios with their options, and the file that gets their figures, if any."""

    chosen: dict[str, Any]
    figures: Path | None
    text: str


@dataclass(frozen=True, slots=True)
class Suite:
    """Scenarios that are run by one program, and the file with their published figures."""

    program: str
    about: str
    scenarios: dict[str, Scenario[Any]]
    published: Path

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of the command line; every scenario's options are flags of it."""
        parser = argparse.ArgumentParser(
            prog=f"python -m {self.program}",
            description=self.about,
            epilog="A full run with its default options is published in docs/benchmarks; any other only with --json.",
        )
        parser.add_argument("names", nargs="*", metavar="SCENARIO", help=f"{', '.join(self.scenarios)} or all")
        parser.add_argument("--short", action="store_true", help="the smallest run: does everything work? No figures")
        parser.add_argument("--json", type=Path, metavar="FILE", help="put the figures there, beside those of others")
        for flag in options.flags({name: scenario.options for name, scenario in self.scenarios.items()}).values():
            flag.add_to(parser)
        return parser

    def parse(self, argv: Sequence[str]) -> Command:
        """Parse a command line; exits with 2 and says what is wrong with it."""
        parser = self.parser()
        # Also names that follow a flag: `--short fan-out`.
        given = parser.parse_intermixed_args(argv)
        unknown = sorted(set(given.names) - {*self.scenarios, "all"})
        if unknown:
            parser.error(f"expected {', '.join(self.scenarios)} or all, got {', '.join(unknown)}")
        names = list(self.scenarios) if not given.names or "all" in given.names else list(dict.fromkeys(given.names))
        known = options.flags({name: self.scenarios[name].options for name in self.scenarios})
        told = options.given_names(given, known)
        for name in told:
            if not set(names) & set(known[name].declared):
                parser.error(f"{known[name].spelling} is an option of {', '.join(known[name].declared)}")
        try:
            chosen = {n: options.build(self.scenarios[n].options, told, is_short=given.short) for n in names}
        except OptionError as error:
            parser.error(str(error))
        is_full = not told and not given.short
        return Command(chosen, given.json or (self.published if is_full else None), _without_json(argv))

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the scenarios; the exit code is 0 when all came to their end and every figure that is to be 0 is."""
        command = self.parse(sys.argv[1:] if argv is None else argv)
        exit_on_sigterm()
        allow_many_files()
        failed = []
        try:
            for name, chosen in command.chosen.items():
                if not self._run(name, chosen, command):
                    failed.append(name)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        if command.figures == self.published:
            report.write(self.published.parent)
        if command.figures is None:
            print("no file was written: these are not the published options (--json FILE keeps the figures)")
        elif len(failed) < len(command.chosen):
            print(f"written to {command.figures}")
        return 1 if failed else 0

    def _run(self, name: str, chosen: Any, command: Command) -> bool:
        """Run one scenario, show and keep its figures; False when it failed."""
        scenario = self.scenarios[name]
        facts, idle, since = machine(), Idle(), time.monotonic()
        print(f"{name} … (load average before it: {facts['load_average_1m']})", flush=True)
        try:
            result = scenario.run(chosen)
        except LoadTestError as error:
            print(f"FAILED {name}: {error}", file=sys.stderr)
            return False
        facts["idle_share_meanwhile"] = idle.share()
        title = scenario.titled(chosen)
        if command.figures is not None:
            self._keep(command, name, {"title": title, "machine": facts}, result)
        print(f"{table(title, result)}\n  took {time.monotonic() - since:.0f} s\n", flush=True)
        if not result.has_passed():
            print(f"FAILED {name}: a figure that is to be 0 is not", file=sys.stderr)
        return result.has_passed()

    def _keep(self, command: Command, name: str, facts: dict[str, object], result: Result) -> None:
        """Put one scenario's figures into the file; those of the others stay."""
        path = command.figures
        assert path is not None  # noqa: S101 - the caller has looked
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = {
            "title": facts["title"],
            "command": f"python -m {self.program} {command.text}".rstrip(),
            "machine": facts["machine"],
            "setup": result.setup,
            "figures": [asdict(row) for row in result.rows],
            "doubts": result.doubts,
            "runs": result.runs,
        }
        ordered = {each: known[each] for each in self.scenarios if each in known}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_on_few_lines(json.dumps(ordered, indent=1, ensure_ascii=False)) + "\n")


def allow_many_files() -> None:
    """Raise the limit of open files of this process, and of those that it starts, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _without_json(argv: Sequence[str]) -> str:
    """Return the command line but for where the figures go."""
    argv = list(argv)
    at = argv.index("--json") if "--json" in argv else len(argv)
    return shlex.join([each for each in argv[:at] + argv[at + 2 :] if not each.startswith("--json=")])


def _on_few_lines(text: str) -> str:
    """Put each point of a curve on one line, not each of its numbers."""
    return re.sub(r"\{[^{}\[\]]*\}", lambda found: " ".join(found[0].split()), text)
