// Asks a gateway with the OpenAI SDK for JavaScript, unchanged: node ask.mjs BASE_URL; prints one JSON object.
import OpenAI, { NotFoundError } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "What does os.mkfifo do?" }];
const whole = await client.chat.completions.create({ model: "pydoc", messages });
let streamed = "";
let receipt = null;
for await (const chunk of await client.chat.completions.create({ model: "pydoc", messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  receipt = chunk.hallmark?.id ?? receipt;
}
let refusal = null;
try {
  await client.chat.completions.create({ model: "nothing", messages });
} catch (error) {
  refusal = error instanceof NotFoundError ? error.code : String(error);
}
const models = [];
for await (const model of await client.models.list()) models.push(model.id);
console.log(JSON.stringify({ whole: whole.choices[0].message.content, id: whole.hallmark.id, streamed, receipt, refusal, models }));
