// Keeps a server that would listen on every interface on the loopback one. Given to node by --require.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...given) {
  const [first, ...rest] = given;
  if (first !== null && typeof first === "object" && "port" in first) {
    return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  }
  if (typeof first === "number" || typeof first === "string") {
    const port = Number(first);
    const ready = given.find((argument) => typeof argument === "function");
    return listen.call(this, { port, host: "127.0.0.1" }, ready);
  }
  return listen.apply(this, given);
};
