// Publishes readings and hears commands with mqtt.js; prints one JSON object.
// node client.mjs '{"port":..., "version": 4|5, "user":..., "password":..., "count":..., "first": <ms>}'
import mqtt from 'mqtt'

const job = JSON.parse(process.argv[2])
const base = `smartsite/v1/${job.user}`
const client = mqtt.connect({
  host: '127.0.0.1',
  port: job.port,
  protocolVersion: job.version,
  username: job.user,
  password: job.password,
  reconnectPeriod: 0,
  connectTimeout: 20000,
  will: { topic: `${base}/status`, payload: '{"online": false}', qos: 1, retain: true },
  properties: job.version === 5 ? { topicAliasMaximum: 10 } : undefined,
  autoUseTopicAlias: job.version === 5,
  autoAssignTopicAlias: job.version === 5,
})

client.on('error', (error) => {
  console.log(JSON.stringify({ refused: error.code ?? String(error) }))
  client.end(true)
})

client.on('connect', async () => {
  const granted = await client.subscribeAsync(`${base}/command`, { qos: 1 })
  const readings = []
  for (let n = 0; n < job.count; n++) {
    const body = { ts: job.first + n, values: { pm10: n, laeq: 60.5 } }
    readings.push(client.publishAsync(`${base}/telemetry`, JSON.stringify(body), { qos: n % 10 === 0 ? 0 : 1 }))
  }
  await Promise.all(readings)
  const foreign = await client
    .publishAsync('smartsite/v1/B/b1/telemetry', '{"values": {"pm10": 1}}', { qos: 1 })
    .then(() => 0, (error) => error.code)
  // In order: with this one acknowledged, all before it are stored.
  await client.publishAsync(`${base}/status`, '{"online": true}', { qos: 1, retain: true })
  console.log(JSON.stringify({ granted: granted[0].qos, foreign }))
  client.end()
})
