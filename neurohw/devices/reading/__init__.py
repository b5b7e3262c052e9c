"""What reading a cell gives: noise, telegraph noise, drift, disturb and wear."""
