"""How a trained network's shape is changed before it trains on."""
