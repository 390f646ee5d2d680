"""Agents of other frameworks, run inside a saga as they are: each call of a model and each call of
a tool is a step of its own.

`saga.tasks.agents.pydantic_ai`   `SagaDurability` (extra: pydantic-ai)
`saga.tasks.agents.openai_agents` `runner` (extra: openai-agents)
`saga.tasks.agents.langgraph`     `durable` (extra: langgraph)

docs/agents.md has one of each.
"""
