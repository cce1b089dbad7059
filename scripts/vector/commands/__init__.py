"""The commands of `vector`, a module a group; its `add_to(commands)` declares them on the parser."""
