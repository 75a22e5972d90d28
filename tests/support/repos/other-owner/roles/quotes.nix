# A quotation for everybody who connects. It runs only once somebody has.
{ lib, pkgs, ... }:

let
  quotes = pkgs.writeText "quotes.txt" (lib.concatMapStrings (quote: quote + "\n") [
    "The light is on, and somebody is home."
    "A house is a machine with a door."
    "Whoever fixes the boiler chooses the music."
  ]);

  serve = pkgs.writeText "quotes.py" ''
    import random, socket

    quotes = open("${quotes}").read().splitlines()
    listener = socket.socket(fileno=3)  # the one that systemd listens on
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(random.choice(quotes).encode() + b"\n")
  '';
in
{
  systemd.sockets.quotes = {
    description = "Quotations";
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "/run/quotes.sock" ];
  };

  systemd.services.quotes = {
    description = "Quotations";
    requires = [ "quotes.socket" ];
    serviceConfig = {
      ExecStart = "${pkgs.python3}/bin/python3 ${serve}";
      User = "house";
    };
  };
}
