# Where clan's network services say that a machine is: `clan.exports`, which is experimental
# there. Keys are service:instance:role:machine. The command of clan tries networks one after
# the other, those of the highest priority first; here nothing can be tried, so those that
# need a proxy (tor, p2p-ssh-iroh) are left out.
{ flake, name }:
let
  reachable = [ "clan_lib.network.direct" "clan_lib.network.zerotier" ];
  exports = flake.clan.exports or { };

  scopeOf =
    key:
    let
      parts = builtins.filter builtins.isString (builtins.split ":" key);
      part = builtins.elemAt parts;
    in
    if builtins.length parts != 4 then
      null
    else
      {
        service = part 0;
        instance = part 1;
        machine = part 3;
      };

  told = builtins.filter (one: one.scope != null) (
    map (key: {
      scope = scopeOf key;
      value = exports.${key};
    }) (builtins.attrNames exports)
  );

  isOf = network: one: one.scope.service == network.scope.service && one.scope.instance == network.scope.instance;

  peersIn =
    network:
    let
      ofMachine = one: isOf network one && one.scope.machine == name && one.value.peer or null != null;
      place =
        one: host: {
          inherit (network.scope) service instance;
          inherit (network.value.networking) priority;
          address = host.plain;
          port = one.value.peer.port or null;
          user = one.value.peer.user or null;
        };
      hosts = one: builtins.filter (host: host.plain or "" != "") one.value.peer.hosts;
    in
    builtins.concatMap (one: map (place one) (hosts one)) (builtins.filter ofMachine told);

  networks = builtins.filter (
    one:
    one.value.networking or null != null
    && builtins.elem (one.value.networking.module or "clan_lib.network.direct") reachable
  ) told;

  # One whose address is no string yet, since nobody has generated it, costs no other.
  found = builtins.concatMap (
    network:
    let
      tried = builtins.tryEval (let peers = peersIn network; in builtins.deepSeq peers peers);
    in
    if tried.success then tried.value else [ ]
  ) networks;

  sorted = builtins.sort (a: b: a.priority > b.priority) found;
  tried = builtins.tryEval (builtins.deepSeq sorted sorted);
in
if flake ? clan && tried.success then tried.value else [ ]
