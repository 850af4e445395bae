"""Flags for Java processes that live as long as one job or one test."""

SMALL_JVM = (
    # These two make the JVM start sooner and need less memory.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # Without this flag a JVM that is killed leaves a file in /tmp.
    "-XX:-UsePerfData",
)
