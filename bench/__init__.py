"""The benchmark: this engine beside a plain Celery chain, on the same servers in the same run.

    python -m bench [WORKLOAD ...] [--repeat 3] [--json FILE] [--quick] [--profile]

How it is kept fair:

* Both engines get two worker processes. Ours are two `saga worker` with their defaults, the chain's
  two `celery worker` with Celery's defaults and one prefork child each, which is its faster layout
  on two cores (one worker with two children does a fifth less). Where `kill` needs slots, both get
  the same number.
* They take turns on one Redis and one Postgres, which waits for the disk at each commit (`fsync`
  and `synchronous_commit` on). Each turn starts with an empty broker, a fresh database, fresh
  workers, and a warm-up that is not counted. Numbers are medians of the turns.
* CPU is that of all who take part, from the client to Postgres' background processes, with
  children that have exited.
* Without a result backend the chain's last step counts the ends in Redis; ours are read from
  Postgres, where the outcome is committed.
* What a shared machine was busy with besides is printed below the table. With half a core or more
  the CPU columns still compare, the rates hardly do.
"""
