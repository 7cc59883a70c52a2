"""Compares verdicts: ours against each library's. Prints a table, and fails on a disagreement that
EXPLAINED does not name, or on an explanation that explains nothing any more.

usage: compare.py CASES OURS LIBRARIES…
"""

import collections
import json
import re
import sys

# (library, family, what was done, ours, theirs) as patterns → why. docs/differential.md says it at length.
EXPLAINED = [
    ((".*", ".*", "signature: upper case", "valid", "invalid"), "hex digits count in either case here"),
    ((".*stripe|node paddle", "stripe|paddle", "(far )?in the future", "in_future", "valid"), "a signed time far ahead is refused here"),
    ((".*", "stripe|paddle|standard", "time: .*, signed as read", "wrong|malformed", "valid"), "the library reads a time leniently and signs what it read"),
    ((".*", "stripe|paddle|standard", "time: zero in front, signed as written", "valid", "invalid"), "the time is signed as it is written here"),
    (("python slack", "slack", "time: (plus|space) in front, signed as written", "malformed", "valid"), "Python's int() takes signs and spaces"),
    ((".*", "stripe|paddle", "the time twice", "malformed", "valid"), "two times leave open which one is signed"),
    (("node paddle", "paddle", "good, then (wrong|rubbish)", "valid", "invalid"), "this library looks at the last signature only"),
    (("python paddle", "paddle", "good, then an unknown version", "valid", "invalid"), "this library refuses versions that it does not know"),
    (("python (standardwebhooks|svix)", "standard", "signature: longer", "malformed", "valid"), "Python's base64 passes over what follows the padding"),
    (("node gocardless", "gocardless", "signature: longer", "malformed", "valid"), "Node's hex stops at the first letter that is none"),
    (("node adyen", "adyen-.*", "signature: (cut|longer|unpadded|space in front)", "malformed", "valid"), "Node's base64 passes over what is none"),
    ((".* adyen", "adyen-item", "a colon where none belongs", "malformed", "valid"), "a colon could move the border between two signed fields"),
    (("node adyen", "adyen-item", "a field becomes a list", "malformed", "valid"), "JavaScript joins a list of one as its element"),
    (("python adyen", "adyen-item", "success becomes a boolean", "valid", "invalid"), "Python writes True, Adyen true"),
    (("python adyen", "adyen-item", "an absent field becomes null", "valid", "invalid"), "Python writes None, Adyen nothing"),
    ((".* braintree", "braintree", "a payload that is a challenge", "malformed", "valid"), "what is signed on demand is no notification"),
    ((".* braintree", "braintree", "the key twice, wrong first", "valid", "invalid"), "the libraries look at a key's first signature only"),
]


def main():
    lines = lambda path: (json.loads(line) for line in open(path, encoding="utf-8"))
    cases = {case["id"]: case for case in lines(sys.argv[1])}
    ours = {verdict["id"]: verdict["verdict"] for verdict in lines(sys.argv[2])}
    counts, odd = collections.defaultdict(collections.Counter), collections.Counter()
    used = collections.Counter()
    examples = {}
    for path in sys.argv[3:]:
        for theirs in lines(path):
            case, mine, other = cases[theirs["id"]], ours[theirs["id"]], theirs["verdict"]
            same = mine == other if case.get("challenge") is not None and other != "invalid" else (mine == "valid") == (other == "valid")
            if case.get("challenge") is not None and other == "invalid":
                same = mine == "malformed"
            key = (theirs["sdk"], case["family"])
            counts[key]["cases"] += 1
            counts[key]["valid"] += other != "invalid"
            if same:
                counts[key]["same"] += 1
                continue
            row = (*key, case["what"], mine, other)
            why = next((n for n, (pattern, _) in enumerate(EXPLAINED) if all(re.fullmatch(p, str(r)) for p, r in zip(pattern, row))), None)
            if why is None:
                odd[row] += 1
                examples.setdefault(row, case)
            else:
                counts[key]["explained"] += 1
                used[why] += 1
    print(f"{'library':24} {'family':20} {'cases':>7} {'valid':>7} {'same':>7} {'explained':>10}")
    for (sdk, family), count in sorted(counts.items()):
        print(f"{sdk:24} {family:20} {count['cases']:7} {count['valid']:7} {count['same']:7} {count['explained']:10}")
    total = sum((count for count in counts.values()), collections.Counter())
    print(f"{'in all':45} {total['cases']:7} {total['valid']:7} {total['same']:7} {total['explained']:10}")
    for why, (_, reason) in enumerate(EXPLAINED):
        print(f"{used[why]:7} explained: {reason}")
        if not used[why]:
            print("an explanation explains nothing any more", file=sys.stderr)
            return 1
    for row, count in odd.most_common():
        print(f"DISAGREEMENT {count}x {row}", file=sys.stderr)
    if odd and "--show" in sys.argv:
        print(json.dumps(next(iter(examples.values())), indent=1), file=sys.stderr)
    return 1 if odd or not total["cases"] else 0


sys.exit(main())
