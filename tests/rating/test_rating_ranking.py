import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError
from editloop.rating.mean_ratings import points_of_100
from editloop.rating.ranking import rank
from rating_studies import NAMES, simulate, write_votes

QUESTION = "which is better?"


def study(folder: Path, *extra: str, **size: int) -> Path:
    """Write a simulated study, with more lines of the CSV at its end."""
    path = write_votes(simulate(np.random.default_rng(0), **size), folder / "votes.csv")
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in extra)
    return path


def test_a_ranking_has_intervals_ranks_agreement_and_bias(tmp_path: Path) -> None:
    results = rank(study(tmp_path), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "ranking.json").read_text()) == results
    davidson = results["davidson"][QUESTION]
    assert max(davidson, key=lambda name: davidson[name]["score"]) == "anna"
    for each in davidson.values():
        assert each["low"] < each["naive_low"] < each["score"] < each["naive_high"] < each["high"]
        assert 1 <= each["rank_low"] <= each["rank_high"] <= 4
    assert set(results["trueskill"][QUESTION]) == set(NAMES)
    assert results["counts"][QUESTION]["votes"] == 1080
    agreement = results["agreement"][QUESTION]
    assert agreement["low"] < agreement["alpha"] < agreement["high"]
    bias = results["position_bias"][QUESTION]
    assert bias["low"] < 0.2 < bias["high"]  # the simulated one


def test_the_same_votes_give_the_same_bytes(tmp_path: Path) -> None:
    path = study(tmp_path, items=10)
    for out in ("one", "two"):
        rank(path, tmp_path / out)
    for name in ("ranking.json", "ranking.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_both_bad_is_counted_and_changes_no_score(tmp_path: Path) -> None:
    plain = rank(study(tmp_path, items=10), tmp_path / "out")
    bad = [f"item-0,anna,bert,{QUESTION},both_bad,r{at},ab" for at in range(20)]
    found = rank(study(tmp_path, *bad, items=10), tmp_path / "out")
    for name in NAMES:
        score = found["davidson"][QUESTION][name]["score"]
        assert score == plain["davidson"][QUESTION][name]["score"]
    shares = found["counts"][QUESTION]["both_bad_share"]
    assert shares["anna"] > 0.1
    assert shares["cleo"] == 0


def test_judges_are_never_mixed_with_people(tmp_path: Path) -> None:
    path = study(tmp_path, items=10)
    people = rank(path, tmp_path / "out")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    judged = [{**row, "rater": "vlm", "kind": "judge", "answer": "b"} for row in rows]
    both = tmp_path / "both.csv"
    with both.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "kind"])
        writer.writeheader()
        writer.writerows([*({**row, "kind": "person"} for row in rows), *judged])
    found = rank(both, tmp_path / "out")
    assert found["davidson"] == people["davidson"]
    share = found["judges"]["vlm"][QUESTION]
    assert 0.2 < share["low"] < share["mean"] < share["high"] < 0.6
    alone = tmp_path / "alone.csv"
    alone.write_text(both.read_text().replace(",person", ",judge"))
    only = rank(alone, tmp_path / "out")
    assert only["raters"] == "judges"
    assert only["warnings"][0]["code"] == "judges"


def test_groups_without_votes_between_them_are_not_ranked(tmp_path: Path) -> None:
    lines = [f"i{at},x,y,{QUESTION},{'ab'[at % 2]},r{at},ab" for at in range(10)]
    found = rank(study(tmp_path, *lines, items=5), tmp_path / "out")
    assert {each["score"] for each in found["davidson"][QUESTION].values()} == {None}
    assert "x, y" in found["davidson"][QUESTION]["x"]["reason"]
    assert [each["code"] for each in found["warnings"]] == ["not-connected"]
    assert "cannot be ranked together" in (tmp_path / "out" / "ranking.html").read_text()


def test_only_both_bad_answers_rank_nothing(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    head = "item,editor_a,editor_b,question,answer,rater"
    path.write_text(f"{head}\ni,x,y,q,both_bad,r\n")
    assert rank(path, tmp_path / "out")["davidson"]["q"]["x"]["score"] is None


def test_few_raters_get_a_bootstrap_and_a_warning(tmp_path: Path) -> None:
    found = rank(study(tmp_path, items=20, raters=4), tmp_path / "out")
    anna = found["davidson"][QUESTION]["anna"]
    assert anna["bootstrap_low"] < anna["score"] < anna["bootstrap_high"]
    assert "few-raters" in [each["code"] for each in found["warnings"]]


@pytest.mark.slow
def test_repeats_tell_how_raters_agree_with_themselves(tmp_path: Path) -> None:
    lines = ["i,x,y,q,a,r,ab", "i,x,y,q,a,r,ba", "j,x,y,q,b,r,ab", "j,y,x,q,b,r,ab"]
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(["item,editor_a,editor_b,question,answer,rater,order", *lines]))
    found = rank(path, tmp_path / "out")["agreement"]["q"]
    assert (found["repeats"], found["self_consistency"]) == (2, 0.5)


def test_ratings_become_means_with_two_way_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["item,editor,question,value,rater,kind"]
    by_item, by_rater = rng.normal(0, 1, 30), rng.normal(0, 0.5, 12)
    for item in range(30):
        for rater in rng.permutation(12)[:4]:
            for editor, worth in (("good", 4), ("poor", 2)):
                value = np.clip(round(worth + by_item[item] + by_rater[rater]), 1, 5)
                rows.append(f"i{item},{editor},quality,{value},r{rater},person")
        rows.append(f"i{item},good,quality,{by_item[item]:.2f},vlm,judge")
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(rows))
    found = rank(path, tmp_path / "out")
    means = found["means"]["quality"]
    assert means["good"]["low"] > means["poor"]["high"]
    assert means["good"]["count"] == 120
    assert found["agreement"]["quality"]["level"] == "ordinal"
    assert found["judges"]["vlm"]["quality"]["pearson"] > 0.7
    assert "mean rating" in (tmp_path / "out" / "ranking.html").read_text()


def test_hq_edits_levels_are_scaled_to_100() -> None:
    assert [points_of_100(level, (1, 5)) for level in (1, 3, 5)] == [0, 50, 100]


def test_levels_bring_means_to_100_and_are_refused_where_they_cannot_act(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("item,editor,question,value,rater\ni,x,q,2,r\nj,x,q,4,r\n")
    assert rank(path, tmp_path / "out", levels=(1, 5))["means"]["q"]["x"]["mean"] == 50
    with pytest.raises(RecipeError, match="'r' rates 'j' of 'x': 4 is not in 1 to 3"):
        rank(path, tmp_path / "out", levels=(1, 3))
    with pytest.raises(RecipeError, match="votes have no levels"):
        rank(study(tmp_path, items=3), tmp_path / "out", levels=(1, 5))
    command = ["ranking", str(path), "--out", str(tmp_path / "out"), "--levels"]
    assert CliRunner().invoke(app, [*command, "1,5"]).exit_code == 0
    assert CliRunner().invoke(app, [*command, "5"]).exit_code != 0


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    text = study(tmp_path, items=5).read_text().replace("anna", "<script>x</script>")
    path = tmp_path / "odd.csv"
    path.write_text(text)
    rank(path, tmp_path / "out")
    assert "<script>" not in (tmp_path / "out" / "ranking.html").read_text()


@pytest.mark.parametrize("as_folder", [False, True])
def test_the_command_prints_the_ranking(tmp_path: Path, as_folder: bool) -> None:
    path = study(tmp_path, items=10)
    place = tmp_path if as_folder else path
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["ranking", str(place), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "anna" in result.output
    assert "alpha" in result.output
    assert (out / "ranking.html").is_file()
