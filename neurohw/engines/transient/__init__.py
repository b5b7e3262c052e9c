"""Engine ``transient``: phases of finite length, time to settle, energy."""
