"""A lineage in the words of W3C PROV, as PROV-JSON: datasets are entities, runs activities, algorithms their plans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingPackageError
from workbench.models import DatasetRecord, RunRecord

if TYPE_CHECKING:
    from workbench.library.lineage import Lineage

NAMESPACE = "urn:workbench:"


def prov_json(lineage: Lineage) -> str:
    """Return a lineage as PROV-JSON.

    A reused run is influenced by the run that computed what it stands for, and generated nothing.

    Source: W3C, PROV-DM: The PROV Data Model, 2013; The PROV-JSON Serialization, 2013.

    Raises
    ------
    MissingPackageError
        If the package prov is not installed.
    """
    try:
        from prov.model import ProvDocument
    except ImportError:
        raise MissingPackageError(
            "PROV needs the package prov, which is not installed. Run: pip install 'jupyter-workbench[provenance]'",
            package="prov",
        ) from None
    document: Any = ProvDocument()
    wb = document.add_namespace("wb", NAMESPACE)
    records = {node.id: node.record for node in lineage.nodes.values()}
    for node in lineage.nodes.values():
        record = node.record
        label = {"prov:label": node.label}
        if isinstance(record, RunRecord):
            _add_run(document, wb, record, label)
        elif isinstance(record, DatasetRecord):
            facts = {"wb:digest": record.digest, "wb:schema": record.schema_name, "wb:source": record.source}
            given = {name: value for name, value in facts.items() if value}
            document.entity(wb[node.id], {**label, **given, "wb:created": record.created})
        else:  # deleted since
            make = document.activity if node.kind == "run" else document.entity
            make(wb[node.id], other_attributes=label)
    for source, target in lineage.edges:
        made = records[target]
        if lineage.nodes[target].kind == lineage.nodes[source].kind == "run":
            document.wasInformedBy(wb[target], wb[source])  # by a plain value or object, or by training it
        elif lineage.nodes[target].kind == "run":
            document.used(wb[target], wb[source])
        elif lineage.nodes[source].kind == "dataset":
            document.wasDerivedFrom(wb[target], wb[source])
        elif not isinstance(made, DatasetRecord) or made.run_id == source:
            document.wasGeneratedBy(wb[target], wb[source])
    text: str = document.serialize(indent=1)
    return text


def _add_run(document: Any, wb: Any, record: RunRecord, label: dict[str, str]) -> None:
    facts: dict[str, Any] = {"wb:status": str(record.status), "wb:device": record.device}
    if record.version:
        facts["wb:version"] = record.version
    if record.pipeline is not None:
        facts["wb:pipeline"], facts["wb:node"] = wb[record.pipeline], record.node
    facts["wb:parameters"] = json.dumps(record.parameters)
    if record.seed is not None:
        facts["wb:seed"] = record.seed
    if record.environment.get("digest"):
        facts["wb:environment"] = record.environment["digest"]
    document.activity(wb[record.id], record.started, record.finished, {**label, **facts})
    if record.user:
        document.agent(wb[f"user/{record.user}"], {"prov:label": record.user, "prov:type": "prov:Person"})
        plan = wb[record.revision] if record.revision else None
        if plan is not None:
            document.entity(plan, {"prov:label": record.algorithm, "prov:type": "prov:Plan"})
        document.wasAssociatedWith(wb[record.id], wb[f"user/{record.user}"], plan)
    for origin in filter(None, (record.reused_from, record.replays, record.resumed_from)):
        document.wasInfluencedBy(wb[record.id], wb[origin])
