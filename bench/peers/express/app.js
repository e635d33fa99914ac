// The five requests by Express 5, pg, ioredis and BullMQ, written for speed: a peer of the service in `make bench-requests`.
//
// PORT, DATABASE_URL, REDIS_URL, JWT_SECRET, DAILY_PROMPTS and PROCESSES in the environment.
// BARE=yes: no limits, no security headers, no line in the log.
const cluster = require('node:cluster');
const { randomBytes } = require('node:crypto');

const { PORT, DATABASE_URL, REDIS_URL, JWT_SECRET } = process.env;
const DAILY_PROMPTS = Number(process.env.DAILY_PROMPTS);
const PROCESSES = Number(process.env.PROCESSES ?? 1);
const BARE = process.env.BARE === 'yes';
const PER_USER = 3000;
const PER_ADDRESS = 6000;
const CACHED_SECONDS = 300;
const PAGE = 50;

// Named statements: PostgreSQL parses and plans each once for a connection.
const statement = (name, text) => ({ name, text });
const SESSION = statement('session', 'SELECT user_id FROM sessions WHERE id = $1 AND ended_at IS NULL AND expires_at > now()');
// One query for the session and the profile: half the price of two.
const PROFILE = statement('profile', `
  SELECT u.id, u.phone AS "mobileNumber", u.name, u.email, u.created_at AS "createdAt", u.tier, coalesce(d.used, 0) AS used
  FROM sessions s JOIN users u ON u.id = s.user_id LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = $2
  WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > now()`);
const ROOM_COLUMNS = 'id, name, created_at AS "createdAt", updated_at AS "updatedAt"';
const ROOMS = statement('rooms', `SELECT ${ROOM_COLUMNS} FROM chatrooms WHERE user_id = $1 ORDER BY id DESC LIMIT ${PAGE}`);
const ROOM = statement('room', `
  SELECT ${ROOM_COLUMNS}, system_prompt AS "systemPrompt" FROM chatrooms WHERE id = $1 AND user_id = $2`);
const ENTRIES = statement('entries', `SELECT * FROM messages WHERE chatroom_id = $1 ORDER BY id DESC LIMIT ${PAGE + 1}`);
const NEW_ROOM = statement('new room', `
  INSERT INTO chatrooms (user_id, name, system_prompt) VALUES ($1, $2, $3) RETURNING ${ROOM_COLUMNS}`);
const SPEND = statement('spend', `
  INSERT INTO daily_usage AS d (user_id, day, used) VALUES ($1, $2, 1)
  ON CONFLICT (user_id, day) DO UPDATE SET used = d.used + 1 WHERE d.used < $3 RETURNING used`);
const NEW_MESSAGE = statement('new message', `
  WITH message AS (
    INSERT INTO messages (chatroom_id, role, content)
    SELECT id, 'user', $3 FROM chatrooms WHERE id = $1 AND user_id = $2 RETURNING id, chatroom_id, created_at
  ), reply AS (
    INSERT INTO messages (chatroom_id, role, reply_to, status)
    SELECT chatroom_id, 'bot', id, 'queued' FROM message RETURNING id
  )
  SELECT message.id, message.created_at, reply.id AS reply_id FROM message, reply`);
const COUNT = `
  local counts = {}
  for i, key in ipairs(KEYS) do
    counts[i] = redis.call('INCR', key)
    if counts[i] == 1 then redis.call('EXPIRE', key, 60) end
  end
  return counts`;
const SECURITY = {
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  'RateLimit-Policy': `"user";q=${PER_USER};w=60`,
};
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

class Refused extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

function serve() {
  const express = require('express');
  const { createVerifier } = require('fast-jwt');
  const { Pool } = require('pg');
  const { Queue } = require('bullmq');
  const { Redis } = require('ioredis');
  const pino = require('pino');

  const pool = new Pool({ connectionString: DATABASE_URL, max: 10, min: 10 });
  const redis = new Redis(REDIS_URL, { enableAutoPipelining: true });
  redis.defineCommand('count', { numberOfKeys: 2, lua: COUNT });
  const replies = new Queue('replies', {
    connection: new Redis(REDIS_URL, { enableAutoPipelining: true, maxRetriesPerRequest: null }),
    defaultJobOptions: { attempts: 3, removeOnComplete: true },
  });
  const log = pino({}, pino.destination({ dest: 2, sync: false, minLength: 4096 }));
  // It remembers tokens that are genuine; whether one has expired is asked each time.
  const verify = createVerifier({
    key: JWT_SECRET,
    algorithms: ['HS256'],
    allowedAud: 'gemini-chat-backend/api',
    allowedIss: 'gemini-chat-backend',
    cache: 4096,
  });
  const query = (prepared, values, on = pool) => on.query({ ...prepared, values });
  const today = () => new Date().toISOString().slice(0, 10);

  function claims(req) {
    const [scheme, token] = (req.headers.authorization ?? '').split(' ', 2);
    if (!token || scheme.toLowerCase() !== 'bearer') throw new Refused(401);
    try {
      return verify(token);
    } catch {
      throw new Refused(401);
    }
  }

  // Counts the request for its user and for its address.
  async function limited(req, res, user) {
    if (BARE) return;
    const seconds = Date.now() / 1000;
    const minute = Math.floor(seconds / 60);
    const [byUser, byAddress] = await redis.count(`limit:user:${user}:${minute}`, `limit:address:${req.ip}:${minute}`);
    res.set('RateLimit', `"user";r=${PER_USER - byUser};t=${60 - Math.floor(seconds % 60)}`);
    if (byUser > PER_USER || byAddress > PER_ADDRESS) throw new Refused(429);
  }

  async function signedIn(req, res, next) {
    const { sub, sid } = claims(req);
    const [{ rows }] = await Promise.all([query(SESSION, [sid]), limited(req, res, sub)]);
    if (rows[0]?.user_id !== sub) throw new Refused(401);
    req.userId = sub;
    next();
  }

  const quota = (used) => {
    const resetsAt = new Date();
    resetsAt.setUTCHours(24, 0, 0, 0);
    return { limit: DAILY_PROMPTS, used, remaining: DAILY_PROMPTS - used, resetsAt };
  };

  const entry = (row) => {
    const shown = {
      id: row.id,
      chatroomId: row.chatroom_id,
      role: row.role,
      content: row.content,
      createdAt: row.created_at,
    };
    if (row.role === 'bot') {
      shown.replyTo = row.reply_to;
      shown.status = row.status;
      if (row.finished_at !== null) {
        shown.finishedAt = row.finished_at;
        shown.model = row.model;
        shown.truncated = row.truncated;
        shown.usage = { inputTokens: row.input_tokens, outputTokens: row.output_tokens };
      }
    }
    return shown;
  };

  const text = (value, longest) => {
    if (typeof value !== 'string' || !value || value.length > longest) throw new Refused(422);
    return value;
  };

  const roomId = (req) => {
    if (!UUID.test(req.params.room)) throw new Refused(404);
    return req.params.room;
  };

  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', 'loopback');
  if (!BARE) {
    app.use((req, res, next) => {
      const began = performance.now();
      const requestId = randomBytes(8).toString('hex');
      res.set(SECURITY);
      res.set('X-Request-Id', requestId);
      res.on('finish', () => {
        const ms = Math.round((performance.now() - began) * 10) / 10;
        log.info({ method: req.method, path: req.path, status: res.statusCode, ms, request_id: requestId }, 'request');
      });
      next();
    });
  }
  const json = express.json();

  app.get('/health/live', (req, res) => res.sendStatus(204));

  app.get('/user/me', async (req, res) => {
    const { sub, sid } = claims(req);
    const [{ rows }] = await Promise.all([query(PROFILE, [sid, today()]), limited(req, res, sub)]);
    if (!rows.length) throw new Refused(401);
    const { used, ...profile } = rows[0];
    res.json({ ...profile, usage: { tier: profile.tier, ...quota(used) } });
  });

  app.get('/chatroom', signedIn, async (req, res) => {
    const key = `rooms:${req.userId}`;
    let page = await redis.get(key);
    if (page === null) {
      page = JSON.stringify((await query(ROOMS, [req.userId])).rows);
      await redis.set(key, page, 'EX', CACHED_SECONDS);
    }
    res.type('json').send(page);
  });

  app.post('/chatroom', signedIn, json, async (req, res) => {
    const name = text(req.body?.name, 100);
    const prompt = req.body.systemPrompt == null ? null : text(req.body.systemPrompt, 4000);
    const { rows } = await query(NEW_ROOM, [req.userId, name, prompt]);
    await redis.del(`rooms:${req.userId}`);
    res.status(201).set('Location', `/chatroom/${rows[0].id}`).json(rows[0]);
  });

  app.get('/chatroom/:room', signedIn, async (req, res) => {
    const id = roomId(req);
    const [found, newest] = await Promise.all([query(ROOM, [id, req.userId]), query(ENTRIES, [id])]);
    if (!found.rows.length) throw new Refused(404);
    const messages = newest.rows.slice(0, PAGE).reverse().map(entry);
    const cursor = newest.rows.length > PAGE ? messages[0].id : null;
    res.json({ ...found.rows[0], messages, nextCursor: cursor });
  });

  app.post('/chatroom/:room/message', signedIn, json, async (req, res) => {
    const content = text(req.body?.message, 8000);
    const id = roomId(req);
    const client = await pool.connect();
    let used, row;
    try {
      await client.query('BEGIN');
      used = (await query(SPEND, [req.userId, today(), DAILY_PROMPTS], client)).rows[0]?.used;
      if (used === undefined) throw new Refused(429);
      row = (await query(NEW_MESSAGE, [id, req.userId, content], client)).rows[0];
      if (row === undefined) throw new Refused(404);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
    await replies.add('write', { reply: row.reply_id });
    const reply = `/message/${row.reply_id}`;
    res.status(202).set('Location', reply).json({
      message: { id: row.id, chatroomId: id, role: 'user', content, createdAt: row.created_at },
      reply: { id: row.reply_id, status: 'queued' },
      quota: quota(used),
      links: { chatroom: `/chatroom/${id}`, reply, stream: `${reply}/stream` },
    });
  });

  app.use((error, req, res, next) => {
    res.status(error.status ?? 500).json({ title: error.status ? error.message : 'Internal Server Error' });
  });

  app.listen(Number(PORT), '127.0.0.1');
}

if (PROCESSES > 1 && cluster.isPrimary) {
  for (let n = 0; n < PROCESSES; n += 1) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else {
  serve();
}
