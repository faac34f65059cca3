"""Shows what a profile makes of the starter configuration, and where each value was written.

    pip install ./flowgate-py && python examples/python/profile.py
"""

import flowgate

config = flowgate.Config.from_yaml(flowgate.STARTER, file="flowgate.yaml")
balanced = config.profile("balanced")

for origin in balanced.origins:
    print(f"{origin.file}:{origin.line:<4} {origin.layer:18} {origin.path}")
print()
print(balanced.render({"cliproxy": "sk-for-show"}), end="")
