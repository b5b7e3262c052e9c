"""Engine ``spice``: the network as a netlist, solved by ngspice."""
