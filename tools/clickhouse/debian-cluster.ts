import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export const DEBIAN_CLUSTER = 'pair';

export interface DebianReplica {
  readonly url: string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on its data; fulfils when it answers. */
  start(): Promise<void>;
}

export interface DebianPair {
  readonly replicas: readonly [DebianReplica, DebianReplica];
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** What a replica is made of; ports are chosen once, so that it comes back where it was. */
interface Ports {
  readonly http: number;
  readonly tcp: number;
  readonly interserver: number;
}

const DEADLINE_MS = 60_000;
/** A server that has crashed may keep its port open and say nothing. */
const ANSWER_MS = 5_000;

async function until(what: string, log: string, test: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + DEADLINE_MS; performance.now() < end; await delay(100)) if (await test().catch(() => false)) return;
  throw new Error(`${what} did not answer:\n${readFileSync(log, 'utf8').slice(-2_000)}`);
}

/** ZooKeeper's four-letter word `srvr`, the one that is open by default. */
async function zooKeeperServes(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1').setTimeout(ANSWER_MS, () => socket.destroy());
  try {
    socket.write('srvr');
    let said = '';
    for await (const chunk of socket) said += String(chunk);
    return said.includes('Mode: standalone');
  } finally {
    socket.destroy();
  }
}

function replicaConfig(folder: string, own: Ports, all: readonly Ports[], zookeeper: number, name: string): string {
  const replicas = all.map(({ tcp }) => `<replica><host>127.0.0.1</host><port>${tcp}</port></replica>`).join('');
  return `<yandex>
    <logger><level>warning</level><console>1</console></logger>
    <http_port>${own.http}</http_port><tcp_port>${own.tcp}</tcp_port><interserver_http_port>${own.interserver}</interserver_http_port>
    <interserver_http_host>127.0.0.1</interserver_http_host><listen_host>127.0.0.1</listen_host><timezone>UTC</timezone>
    <path>${folder}/data/</path><tmp_path>${folder}/tmp/</tmp_path><user_files_path>${folder}/files/</user_files_path><format_schema_path>${folder}/schemas/</format_schema_path>
    <users_config>users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database><mark_cache_size>67108864</mark_cache_size>
    <zookeeper><node><host>127.0.0.1</host><port>${zookeeper}</port></node><session_timeout_ms>4000</session_timeout_ms></zookeeper>
    <macros><shard>1</shard><replica>${name}</replica></macros>
    <remote_servers><${DEBIAN_CLUSTER}><shard><internal_replication>true</internal_replication>${replicas}</shard></${DEBIAN_CLUSTER}></remote_servers>
    <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
  </yandex>`;
}

const USERS = `<yandex><profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users><quotas><default></default></quotas></yandex>`;

function startProgram(program: string, words: readonly string[], cwd: string, log: string, env: NodeJS.ProcessEnv): ChildProcess {
  const out = openSync(log, 'a');
  return spawn('setpriv', ['--pdeathsig', 'KILL', program, ...words], { cwd, env, stdio: ['ignore', out, out] });
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** Java archives of ZooKeeper and of what it needs, from the extracted packages and from the system. */
function classPath(root: string): string {
  const wanted = /^(?:zookeeper|zookeeper-jute|log4j-1\.2|netty-all|metrics-core|snappy-java|commons-logging|slf4j-api|slf4j-simple|findbugs-annotations)\.jar$/;
  return [join(root, 'usr/share/java'), '/usr/share/java'].filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder).filter((name) => wanted.test(name)).map((name) => join(folder, name))).join(':');
}

/**
 * Two replicas of one shard (Debian's clickhouse-server 18.16) and the ZooKeeper they need, on free ports of this machine.
 * @param root where `bringDebianPackages` put the packages
 */
export async function startDebianPair(root: string): Promise<DebianPair> {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-clickhouse-pair-'));
  const zookeeperPort = await freePort();
  const java = [join(root, 'usr/lib/jvm/default-java/bin/java'), '/usr/bin/java'].find((path) => existsSync(path)) ?? 'java';
  writeFileSync(join(folder, 'zoo.cfg'), [`tickTime=500`, `dataDir=${folder}/zookeeper`, `clientPort=${zookeeperPort}`, 'clientPortAddress=127.0.0.1', 'admin.enableServer=false', ''].join('\n'));
  const zookeeperLog = join(folder, 'zookeeper.log');
  const zookeeper = startProgram(java, ['-Xmx128m', '-cp', classPath(root), 'org.apache.zookeeper.server.quorum.QuorumPeerMain', 'zoo.cfg'], folder, zookeeperLog, process.env);
  const ports: Ports[] = [];
  for (const _ of [1, 2]) ports.push({ http: await freePort(), tcp: await freePort(), interserver: await freePort() });
  const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map((path) => join(root, path)).join(':');
  const replica = (own: Ports, index: number): DebianReplica & { end(signal: NodeJS.Signals): Promise<void> } => {
    const home = join(folder, `replica-${index + 1}`);
    for (const name of ['data', 'tmp', 'files', 'schemas']) mkdirSync(join(home, name), { recursive: true });
    writeFileSync(join(home, 'config.xml'), replicaConfig(home, own, ports, zookeeperPort, `replica-${index + 1}`));
    writeFileSync(join(home, 'users.xml'), USERS);
    let child: ChildProcess | undefined;
    const url = `http://127.0.0.1:${own.http}`;
    const log = join(home, 'log');
    return {
      url,
      end: (signal) => end(child, signal),
      kill: () => end(child, 'SIGKILL'),
      async start() {
        child = startProgram(join(root, 'usr/sbin/clickhouse-server'), ['--config-file=config.xml'], home, log, { ...process.env, LD_LIBRARY_PATH: libraries });
        // Replication begins once ZooKeeper answers, too.
        const asked = `${url}/?query=${encodeURIComponent(`SELECT count() FROM system.zookeeper WHERE path = '/'`)}`;
        await until('clickhouse-server', log, async () => (await fetch(asked, { signal: AbortSignal.timeout(ANSWER_MS) })).ok);
      },
    };
  };
  const [first, second] = ports.map(replica);
  if (first === undefined || second === undefined) throw new Error('Two replicas were to be made.');
  const stop = async (): Promise<void> => {
    for (const one of [first, second]) await one.end('SIGKILL');
    await end(zookeeper, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    // This clickhouse-server crashes when it is asked for ZooKeeper twice before ZooKeeper is there.
    await until('ZooKeeper', zookeeperLog, () => zooKeeperServes(zookeeperPort));
    await Promise.all([first.start(), second.start()]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { replicas: [first, second], stop };
}
