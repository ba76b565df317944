"""Word of a report: its main figures and where the whole of it is."""

from __future__ import annotations

from alerts.notices.wording import Language, Message
from alerts.notices.wording import words as notice_words
from alerts.reports.model import Report
from alerts.reports.tables import heading, summary
from sensors.registry import Registry


def report_message(report: Report, language: Language, registry: Registry, link: str) -> Message:
    """The message; `link` leads to the report on the page."""
    title = heading(report, language, registry)
    colon = "：" if language == "zh" else ": "
    lines = [f"{name}{colon}{value}" for name, value in summary(report.figures, language)]
    return Message(
        title=f"【{title}】" if language == "zh" else title,
        text="\n".join(lines),
        link=link,
        label=notice_words()["link"]["details"][language],
        words={"title": title, "link": link},
    )
