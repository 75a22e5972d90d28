{ writeText }:

writeText "printer-facts.txt" (builtins.readFile ./facts.txt)
