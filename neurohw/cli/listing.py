"""`neurohw list`: the names of what neurohw brings."""

import click

from neurohw.cli.output import print_json, print_table


@click.command("list")
@click.argument(
    "kind", type=click.Choice(["recipes", "chips", "devices", "datasets", "rules", "studies"])
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects.")
def listing(kind: str, as_json: bool) -> None:
    """List the recipes, chips, devices, data sets, learning rules or studies that can be named."""
    entries = available(kind)
    if as_json:
        print_json(entries)
    else:
        print_table((str(entry["name"]), str(entry.get("description", ""))) for entry in entries)


def available(kind: str) -> list[dict[str, object]]:
    """Return `name`, `description` and more of what there is of a kind."""
    if kind == "recipes":
        from neurohw.experiments import configuration

        return configuration.recipes()
    if kind == "chips":
        from neurohw.mappings import chip_specification

        return chip_specification.available()
    if kind == "devices":
        from neurohw.devices import memory

        return memory.available()
    if kind == "rules":
        from neurohw.learning import rules

        return rules.available()
    if kind == "studies":
        from neurohw.experiments.studies import study

        return study.available()
    from neurohw import datasets

    return datasets.available()
