#!@runtimeShell@
# Greets the world, or who is named.
if [ $# -gt 0 ]; then
    echo "Hello, $*!"
else
    echo "@greeting@"
fi
