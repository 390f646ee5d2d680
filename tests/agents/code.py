"""The agents for this process, apart from what other tests define."""

from saga.core.declare.registry import registry

with registry.sandbox():
    from tests.agents import with_langgraph, with_openai_agents, with_pydantic_ai

FRAMEWORKS = {
    "langgraph": with_langgraph,
    "openai-agents": with_openai_agents,
    "pydantic-ai": with_pydantic_ai,
}
