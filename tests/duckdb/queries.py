"""Runs the queries of docs/archive.md with DuckDB on an archive as it lies.

usage: queries.py PAGE ARCHIVE EXPORT.csv

The page's names stand for those of the archive: `archive/` for its folder, `stripe-eu` for the demo's
Stripe source, `pi_123` for one of its payments, the hours for those that it has. Ends with 1 when a query
fails or the answers are not what the program's own export says.
"""

import csv
import json
import pathlib
import re
import sys
from collections import defaultdict

import duckdb

SOURCE = "shop-stripe"


def queries(page):
    """The fenced SQL of the page, by name."""
    found = {}
    for block in re.findall(r"```sql\n(.*?)```", page, re.S):
        name = re.match(r"-- query: (\w+)\n", block)
        if not name:
            sys.exit(f"a query of the page has no name:\n{block}")
        found[name.group(1)] = block
    return found


def captured_by_export(path):
    """Sums of captured amounts by currency, of the Stripe source."""
    sums = defaultdict(int)
    for row in csv.DictReader(open(path, newline="")):
        if row["source"] == SOURCE and row["kind"] == "payment" and int(row["captured"] or 0) > 0:
            sums[row["currency"]] += int(row["captured"])
    return dict(sums)


def main():
    page, archive, export = (pathlib.Path(argument) for argument in sys.argv[1:])
    hours = sorted({path.name.split("=")[1] for path in archive.glob("segments/*/*/hour=*")})
    payment = next(row["id"] for row in csv.DictReader(open(export, newline="")) if row["source"] == SOURCE)
    names = {
        "'archive/": f"'{archive}/",
        "stripe-eu": SOURCE,
        "pi_123": payment,
        "2026-11-24T13": hours[0],
        "2026-11-24T14": hours[-1],
    }
    connection = duckdb.connect()
    answers = {}
    if not list(archive.glob("compacted/*/*/*/*.parquet")):
        # The demo's hour has just begun, and only complete hours are compacted.
        print("compacted: no hour is complete yet; the query reads segments/ instead")
        names["/compacted/"] = "/segments/"
    for name, query in queries(page.read_text()).items():
        for ours, theirs in names.items():
            query = query.replace(ours, theirs)
        rows = connection.execute(query).fetchall()
        answers[name] = rows
        print(f"{name}: {len(rows)} rows, such as {rows[0] if rows else None}")

    wrong = []

    def check(what, ours, theirs):
        print(f"{'ok' if ours == theirs else 'WRONG'}: {what}: {ours}")
        if ours != theirs:
            wrong.append(f"{what}: DuckDB has {ours}, and {theirs} was expected")

    check("captured by currency, as in the export", dict(answers["captured"]), captured_by_export(export))
    manifests = [json.loads(path.read_text()) for path in archive.glob("manifests/*/*.json")]
    records = sum(segment["count"] for m in manifests for shard in m["shards"] for segment in shard["segments"])
    check("records, as in the manifests", sum(row[2] for row in answers["hours"]), records)
    check("records by the manifests' totals", sum(row[3] for row in answers["manifests"]), records)
    wanted = {row[0]: row[3] for row in answers["manifests"] if row[1] or "/compacted/" in names}
    check("records by hour in one piece", dict(answers["compacted"]), wanted)
    for name in ("history", "duplicates"):
        if not answers[name]:
            wrong.append(f"{name}: no rows")
    # The folders must answer for the hour: with one that is not there nothing may be opened.
    plan = connection.execute(
        f"EXPLAIN ANALYZE SELECT count(*) FROM read_parquet('{archive}/segments/*/*/*/*.parquet', "
        "hive_partitioning = true, hive_types = {'hour': VARCHAR}) WHERE hour = '1999-01-01T00'"
    ).fetchall()
    text = "\n".join(str(column) for row in plan for column in row)
    opened = re.search(r"Total Files Read: (\d+)", text)
    print(f"files opened for an hour that is not there: {opened.group(1) if opened else 'none'}")
    if opened and int(opened.group(1)) > 0:
        wrong.append("a condition on the hour opens files of other hours")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"all {len(answers)} queries of the page hold, DuckDB {duckdb.__version__}")


main()
