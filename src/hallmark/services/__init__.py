"""The processes of a Hallmark network, one package each."""
