"""`saga demo`: the support agent, the services it talks to, and the driver that counts.

The services keep ledgers of their own; whether something was lost or done twice is read there.
"""
