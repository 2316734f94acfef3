"""HLO as data: modules, their protobuf and text forms, and the rules that make them well-formed."""
